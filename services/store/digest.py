"""A digest of the stored state. It is a field of the tip, and every commit updates it.

It is two sums modulo 2^256, each of one SHA-256 per entry: the ledger (accounts and allowances) and the headers (each
with its height and its hash, so that the list of heights is covered too). A sum does not depend on the order of its
terms. So a commit subtracts the terms that it replaces and adds the new ones, and a scan of all stored entries must
give the same sums.

A commit subtracts the terms of the values that it *read*. So if anything but a commit has altered an entry, the
difference stays in the sums for good, whatever is written over the entry later.

This finds accidents: flipped bits, a damaged append-only file, a command in redis-cli. It is no defence against an
attacker who can write to Redis, and so to the digest.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from services.store.records import allowance_field, encode_account
from shared.hashing import sha256
from shared.ledger import Change, Entries

_MODULUS = 2**256


@dataclass(frozen=True, slots=True)
class Digest:
    """The digest of the state after one block."""

    block: str  # hash of the tip that it belongs to
    ledger: int = 0
    headers: int = 0
    # How often the state was repaired. So a commit that was computed before a repair is refused after it.
    repairs: int = 0

    def __str__(self) -> str:
        """As the tip stores it."""
        return f"{self.block}:{sum_text(self.ledger)}:{sum_text(self.headers)}:{self.repairs}"

    def with_change(self, change: Change) -> "Digest":
        """The digest after a change of the ledger."""
        ledger = self.ledger + ledger_sum(change.after) - ledger_sum(change.before)
        return replace(self, ledger=ledger % _MODULUS)

    def with_headers(self, attached: Iterable[int], detached: Iterable[int] = ()) -> "Digest":
        """The digest after the headers with these terms (`header_term`) were added and removed."""
        return replace(self, headers=(self.headers + sum(attached) - sum(detached)) % _MODULUS)


def read_digest(text: str, block_hash: str) -> Digest | None:
    """The digest that a tip stores.

    None if it has none that belongs to it: a release without digests was the last to write, or the field is damaged.
    Then only a replay can check the state.
    """
    try:
        block, ledger, headers, repairs = text.split(":")
        found = Digest(block, int(ledger, 16), int(headers, 16), int(repairs))
    except ValueError:
        return None
    return found if block == block_hash and str(found) == text else None


def account_term(address: bytes, text: bytes) -> int:
    """The term of one account, from its field and value as they are stored."""
    return _term(b"account", address, text)


def allowance_term(field: bytes, text: bytes) -> int:
    """The term of one allowance, from its field and value as they are stored."""
    return _term(b"allowance", field, text)


def header_term(height: int, block_hash: bytes, text: bytes) -> int:
    """The term of the block at a height, from its hash in the list of heights and its stored header."""
    return _term(b"header", b"%d:%s" % (height, block_hash), text)


def ledger_sum(entries: Entries) -> int:
    """The sum of the terms of entries. A zero is not stored and has no term."""
    total = 0
    for address, account in entries.accounts.items():
        if text := encode_account(account):
            total += _term(b"account", address.encode(), text.encode())
    for key, amount in entries.allowances.items():
        if amount:
            total += _term(b"allowance", allowance_field(key).encode(), b"%d" % amount)
    return total % _MODULUS


def sum_of(terms: Iterable[int]) -> int:
    """The sum of terms, modulo 2^256."""
    return sum(terms) % _MODULUS


def sum_text(value: int) -> str:
    """A sum as it is stored and shown: 64 hex digits."""
    return f"{value:064x}"


def _term(kind: bytes, name: bytes, value: bytes) -> int:
    # No field holds a zero byte, so different entries are different texts.
    return int.from_bytes(sha256(b"\0".join((kind, name, value))), "big")
