"""A chain as a file: JSON lines, first `{"spec": …, "genesis": hash}`, then one block per line, as it is hashed.

The first line also has `upgrades`, where there are any.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any

from api.cli.chain.stores import (
    node_on,
    node_store,
    noted_upgrades,
    other_upgrades,
    require_store,
    store_failures,
)  # fmt: skip
from api.cli.chain.verification import rule_broken
from api.cli.client import NodeClient
from api.cli.group import Failure
from services.audit.ahead import Ahead, read_ahead
from services.system.text_files import without_mark
from shared import wire
from shared.block import Block, Header
from shared.chain_spec import BadChainSpec, ChainSpec, spec_from_object
from shared.errors import InputError, RuleError, TooEarly
from shared.rules import Rules, rules_for
from shared.upgrades import BadUpgrades, parting, read_upgrades, to_object

# Bytes. No chain spec allows blocks of more than 16 MiB (`max_block_bytes`), so a longer line is not a block.
_MAX_LINE = 2**24 + 2**16
# Hashes of the blocks that the node has are looked up this many at a time.
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did."""

    new: int
    known: int  # blocks of the file that the node had before, genesis included
    height: int  # of the node's chain now
    tip: str


def export_chain(client: NodeClient, output: IO[bytes], advance: Callable[[int, int], None]) -> int:
    """Write the node's chain, up to its tip at the start; the height of that tip.

    Raises:
        Failure: the node has pruned blocks, or the chain was reorganised meanwhile, so that the file does not hold one
            chain.
    """
    spec = client.rules_spec()
    rules = rules_for(spec)
    height = int(client.get("/status")["height"])
    if (kept_from := client.kept_from()) > 1:
        raise Failure(
            f"This node has whole blocks only from height {kept_from} on (QUARRY_KEEP), and a chain file begins with "
            "the first block: export the chain of a node that keeps all blocks."
        )
    previous: str | int | None = None
    done = 0
    for value, _ in client.blocks(1, height):
        block = rules.adopt_genesis(value) if done == 0 else rules.read_block(value)
        if done == 0:
            head = {"spec": spec.to_object(), "genesis": block.hash}
            if spec.stages:
                head["upgrades"] = to_object(spec)
            output.write(json.dumps(head, sort_keys=True).encode() + b"\n")
        elif block.header.previous_hash != previous:
            raise Failure("The chain was reorganised during the export; run the command again.")
        output.write(block.canonical + b"\n")
        previous, done = block.hash, done + 1
        advance(done, height)
    if done < height:
        raise Failure("The chain became shorter during the export; run the command again.")
    return done


def import_chain(
    source: IO[bytes], name: str, node: str, redis_url: str | None, advance: Callable[[int], None]
) -> Imported:
    """Check each block of a chain file by all rules and append it to a node's chain.

    Safe to repeat, also after an interruption: blocks that the node has are compared and not appended again.

    Args:
        name: of the file, for messages.
        redis_url: the node's store, or None, as for `node_store`.
        advance: called with the number of bytes read so far.

    Raises:
        Failure: the file is damaged, does not fit the node's chain, or has upgrades that the node lacks; the message
            has the height or the line.
    """
    reader = _Reader(source, name)
    spec, genesis = reader.head()
    with node_store(spec, node, redis_url) as url, Ahead() as ahead:
        rules = rules_for(_under_the_nodes_upgrades(url, node, spec), ahead)
        importer = Importer(url, node, rules, genesis)
        values = reader.blocks()
        for value, _ in islice(values, importer.height):  # the node has as many blocks, so these are only compared
            importer.take(value)
            advance(reader.bytes)
        for value, read in read_ahead(values, rules, ahead, has_genesis=False):
            importer.take(value)
            advance(read)
        return importer.finish()


def _under_the_nodes_upgrades(redis_url: str, node: str, spec: ChainSpec) -> ChainSpec:
    """The spec of a file, with the upgrades that the node has: those of QUARRY_UPGRADES_FILE, or of its last start.

    Raises:
        Failure: the file has an upgrade that the node lacks, or has another one. BadSettings, StoreUnavailable.
    """
    from services.connections.servers import as_store, connect_for_jobs
    from services.registry import spec_of
    from services.settings.table import upgraded
    from services.settings.values import named, node_name

    named("--node", node_name, node)
    bare = replace(spec, stages=())
    require_store(redis_url)
    with contextlib.closing(connect_for_jobs(redis_url)) as redis, store_failures():
        noted = noted_upgrades(node_on(redis, redis_url, node, bare))
        known = spec_of(as_store(redis), node)
    height = parting(spec, noted)
    if os.environ.get("QUARRY_UPGRADES_FILE"):
        ours = upgraded(bare, Path(os.environ["QUARRY_UPGRADES_FILE"]).expanduser())
    elif height is None:
        return spec
    elif not noted:
        ours = bare
    elif known is not None and known.hash == spec.hash and parting(known, noted) is None:
        ours = known
    else:  # heights and digests of the node's upgrades are known, and nothing else
        raise other_upgrades(node, height, "the file")
    height = parting(spec, [(stage.height, stage.digest) for stage in ours.stages])
    if height is not None and any(stage.height == height for stage in spec.stages):
        raise other_upgrades(node, height, "the file")
    return ours


class _Reader:
    """The lines of a chain file.

    Raises:
        Failure: they are not those of a chain file; the message begins with the file's name. BadTextFile.
    """

    def __init__(self, source: IO[bytes], name: str) -> None:
        self._source = source
        self._name = name
        self._line = 0
        self._floats = False  # until the spec says by which rules the blocks are read
        self.bytes = 0

    def head(self) -> tuple[ChainSpec, str]:
        value = self._next()
        try:
            spec, genesis = spec_from_object(value["spec"]), str(value["genesis"])
            if "upgrades" in value:
                spec = read_upgrades(value["upgrades"], spec)
        except (TypeError, KeyError):
            raise self._failure("The file does not begin with a chain spec, so it is not an exported chain.") from None
        except BadChainSpec as error:
            raise self._failure(f"The file's chain spec cannot be used: {error}") from None
        except BadUpgrades as error:
            raise self._failure(f"The file's upgrades cannot be used: {error}") from None
        if not rules_for(spec).may_begin_with(genesis):
            raise self._failure("The file's genesis block is not the one that its chain spec gives.")
        self._floats = rules_for(spec).floats
        return spec, genesis

    def blocks(self) -> Iterator[tuple[Any, int]]:
        """The blocks, each with the number of bytes up to its end."""
        while (value := self._next()) is not None:
            yield value, self.bytes

    def _next(self) -> Any:
        try:
            text = self._source.readline(_MAX_LINE + 1)
        except OSError as error:
            raise self._failure(f"It cannot be read: {error.strerror}.") from None
        if not text:
            return None
        self._line += 1
        self.bytes += len(text)
        if self._line == 1:
            text = without_mark(text, self._name)
        try:
            if len(text) > _MAX_LINE:
                raise ValueError
            return wire.parse(text, floats=self._floats)
        except InputError as error:
            if error.code != "malformed_json":
                what = f"Line {self._line} of the file is not strict JSON: {error} ({error.code})"
                raise self._failure(what) from None
            raise self._no_block(text) from None
        except ValueError:
            raise self._no_block(text) from None

    def _no_block(self, text: bytes) -> Failure:
        cut = "" if text.endswith(b"\n") else "; the file ends in the middle of it"
        return self._failure(f"Line {self._line} of the file is not a block{cut}.")

    def _failure(self, what: str) -> Failure:
        return Failure(f"{self._name}: {what}")


class Importer:
    """Appends blocks to one node's chain through its `acceptor`, as for blocks that were mined or fetched.

    Raises:
        Failure: the node has another genesis block. BadSettings, StoreUnavailable: its store cannot be used.
    """

    def __init__(self, redis_url: str, node: str, rules: Rules, genesis: str) -> None:
        from services.connections.servers import connect_for_jobs
        from services.settings.values import named, node_name

        named("--node", node_name, node)
        require_store(redis_url)
        # The chain spec is the file's. Whether the store's chain follows it is judged by the genesis block below.
        self.node = node_on(connect_for_jobs(redis_url), redis_url, node, rules.spec, rules)
        self._rules = rules
        self.node.begin()
        self.node.faults.require_none()
        if self.node.chain.hash_at(1) != genesis:
            raise Failure("The node's chain and the file have different genesis blocks.")
        self.height = self.node.chain.tip().height  # before the import
        self._known: list[str] = []  # hashes from `_first` on
        self._first = 1
        self._new = self._same = 0  # blocks appended, and blocks that the node had
        self._last: Header | None = None  # of the block before in the file

    def take(self, value: Any) -> None:
        """Compare or append the next block of the file, given as its JSON object or, after genesis, as a block."""
        from services.errors import TipMoved

        height = self._new + self._same + 1
        try:
            block = self._read(value, height)
            if self._last is not None:  # else a gap in the file would look like a chain that moved
                block.header.check_link(self._last)
            there = self._hash_at(height)
            if there is None:
                self.node.acceptor.accept(block)
                self._new += 1
            elif there == block.hash:
                self._same += 1
            else:
                raise Failure(f"The node has another block at height {height}, so its chain is not the file's.")
            self._last = block.header
        except RuleError as error:
            raise rule_broken(height, error) from None
        except TooEarly as error:
            raise Failure(f"Block {height}: {error}") from None
        except TipMoved:
            raise Failure(
                f"The node's chain changed while block {height} was imported. The blocks before it were imported; run "
                "the command again for the others."
            ) from None

    def _read(self, value: Any, height: int) -> Block:
        if isinstance(value, Block):
            return value
        return self._rules.adopt_genesis(value) if height == 1 else self._rules.read_block(value)

    def finish(self) -> Imported:
        tip = self.node.chain.tip()
        return Imported(self._new, self._same, tip.height, tip.hash)

    def _hash_at(self, height: int) -> str | None:
        """The hash of the block that the node had at `height` before the import, or None. Looked up in batches."""
        if self._new:
            return None
        if height >= self._first + len(self._known):
            self._first = height
            self._known = [stored.header.hash for stored in self.node.chain.headers(height, _BATCH)]
        position = height - self._first
        return self._known[position] if position < len(self._known) else None
