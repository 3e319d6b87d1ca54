"""Whether a backup is whole: every part authentic, every block the one that its hash names, each on the one before it.
A backup without the chain has no blocks.

Proofs, signatures and balances are judged where a backup is restored, by the node's own rules.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO

from services.backup.content import Manifest, Reader
from services.backup.key_files import check_name
from services.backup.sealed import BadBackup
from shared import wire
from shared.block import Block
from shared.errors import InputError, RuleError
from shared.rules import Rules, rules_for


@dataclass(frozen=True, slots=True)
class Checked:
    """A backup that was read to its end."""

    manifest: Manifest
    counts: Mapping[str, int]  # lines of each kind, and `wallets`


def check(source: IO[bytes], passphrase: str, advance: Callable[[int, int], None]) -> Checked:
    """Read a whole backup.

    Args:
        advance: called with the height that was reached, and that of the tip.

    Raises:
        BadBackup: it cannot be restored.
    """
    reader = Reader(source, passphrase)
    manifest = reader.manifest
    rules = rules_for(manifest.spec)
    if not rules.may_begin_with(manifest.genesis):
        raise BadBackup("The genesis block of the backup is not the one that its chain spec gives.")
    counts: Counter[str] = Counter()
    names: set[str] = set()
    last: Block | None = None
    for kind, value in reader.lines():
        counts[kind] += 1
        if kind == "block":
            last = _following(last, value, rules, manifest, counts["block"])
            advance(counts["block"], manifest.height)
        elif kind == "file":
            check_name(value[0])
            if value[0] in names:
                raise BadBackup("The backup holds a file twice.")
            names.add(value[0])
            counts["wallets"] += value[0].startswith("wallets/") and value[0].endswith("/private.key")
    if not manifest.chain:
        return Checked(manifest, counts)
    if last is None or last.hash != manifest.tip or counts["block"] != manifest.height:
        raise BadBackup("The blocks of the backup do not end with the tip that it names.")
    return Checked(manifest, counts)


def read_block(text: bytes, height: int, rules: Rules) -> Block:
    """A block of a backup, whose own shape is right. Raises: BadBackup."""
    try:
        value = wire.parse(text, floats=rules.floats)
        return rules.adopt_genesis(value) if height == 1 else rules.read_block(value)
    except (InputError, RuleError) as error:
        raise BadBackup(f"Block {height} of the backup cannot be used: {error.message}") from None


def _following(before: Block | None, text: bytes, rules: Rules, manifest: Manifest, height: int) -> Block:
    block = read_block(text, height, rules)
    fits = block.hash == manifest.genesis if before is None else block.header.previous_hash == before.hash
    if not fits:
        raise BadBackup(f"Block {height} of the backup does not follow the block before it.")
    return block
