"""Backups for tests: of a chain in memory, cheap to open."""

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from api.cli.node.backup import write_backup
from api.cli.node.backup_source import Records
from services.backup.key_files import KeyPlaces
from services.wallet import keyring
from shared.canonical import canonical
from shared.chain_spec import ChainSpec
from shared.hashing import sha256
from shared.rules import rules_for
from tests.support.fake_node import SPEC, make_chain

PASSPHRASE = "correct horse"


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make deriving keys cheap, and have the commands find the passphrase."""
    monkeypatch.setattr("services.backup.sealed.COST", 2)
    monkeypatch.setenv("QUARRY_PASSPHRASE", PASSPHRASE)


@dataclass
class ListSource:
    """A node whose chain is a list. `moves`: how many reads of the chain end with another tip."""

    chain: Sequence[bytes]
    spec: ChainSpec = SPEC
    name: str = "node1"
    keys: KeyPlaces | None = None
    kept: Records | None = field(default_factory=lambda: Records([], [], {}))
    moves: int = 0
    whole_from: int = 1

    def kept_from(self) -> int:
        return self.whole_from

    def records(self) -> Records | None:
        return self.kept

    def tip(self) -> tuple[int, str]:
        return len(self.chain), self._hash(len(self.chain))

    def hash_at(self, height: int) -> str | None:
        if height > 1 and self.moves:
            self.moves -= 1
            return "00" * 32
        return self._hash(height)

    def blocks(self, height: int) -> Iterator[bytes]:
        return iter(self.chain[:height])

    def _hash(self, height: int) -> str:
        rules = rules_for(self.spec)
        value = json.loads(self.chain[height - 1])
        return (rules.adopt_genesis(value) if height == 1 else rules.read_block(value)).hash


def chain_of(length: int) -> list[bytes]:
    """Canonical blocks of a valid chain with rewards only."""
    return [canonical(block) for block in make_chain(length)]


def keys_in(directory: Path, wallet: str = "alice") -> KeyPlaces:
    """A node's keys and token, and a wallet."""
    places = KeyPlaces(directory / "dev" / "node1", directory / "wallets", directory / "dev")
    keyring.create(places.node)
    (places.node / "admin-token").write_text("t" * 40 + "\n")
    keyring.create(places.wallets / wallet)
    return places


def backup_of(source: Any, passphrase: str = PASSPHRASE, *, with_chain: bool = True) -> bytes:
    """The bytes of a backup."""
    output = io.BytesIO()
    write_backup(source, passphrase, output, lambda done, total: None, with_chain=with_chain)
    return output.getvalue()


def digests(directory: Path) -> dict[str, bytes]:
    """Every file below a directory, by its path, and the digest of its content."""
    return {
        str(path.relative_to(directory)): sha256(path.read_bytes()) for path in directory.rglob("*") if path.is_file()
    }
