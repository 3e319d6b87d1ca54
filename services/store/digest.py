"""A digest of the stored state that grows with the chain: it lies in the tip, and every commit brings it along.

Two sums modulo 2^256, each of one SHA-256 per entry: the ledger (accounts and allowances) and the headers (each with
its height and its hash, so the list of heights is covered too). A sum does not depend on the order, so a commit takes
away the terms that it replaces and adds the new ones, and a scan of the stored entries must come to the same sums.

A commit takes away the terms of what it *read*. So an entry that was altered behind our back leaves its difference in
the sums for good, whatever is written over it later.

This finds accidents: flipped bits, a damaged append-only file, a hand in redis-cli. It is no defence against somebody
who may write to Redis: they can write the digest as well.
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
    # How often the state was repaired. A commit that was computed from the state before a repair does not fit after it.
    repairs: int = 0

    def __str__(self) -> str:
        """As the tip holds it."""
        return f"{self.block}:{self.ledger:064x}:{self.headers:064x}:{self.repairs}"

    def with_change(self, change: Change) -> "Digest":
        """The digest after a change of the ledger."""
        ledger = self.ledger + ledger_sum(change.after) - ledger_sum(change.before)
        return replace(self, ledger=ledger % _MODULUS)

    def with_headers(self, attached: Iterable[int], detached: Iterable[int] = ()) -> "Digest":
        """The digest after headers were added and taken away: their terms (`header_term`)."""
        return replace(self, headers=(self.headers + sum(attached) - sum(detached)) % _MODULUS)


def read_digest(text: str, block_hash: str) -> Digest | None:
    """The digest that a tip holds.

    None where it has none that belongs to it: the store was last written by a release without digests, or the field is
    damaged. Then only a replay can tell.
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
    """The term of the block at a height: the hash that the list of heights has there, and its stored header."""
    return _term(b"header", b"%d:%s" % (height, block_hash), text)


def ledger_sum(entries: Entries) -> int:
    """The terms of entries together. What is zero is not stored, and has none."""
    total = 0
    for address, account in entries.accounts.items():
        if text := encode_account(account):
            total += _term(b"account", address.encode(), text.encode())
    for key, amount in entries.allowances.items():
        if amount:
            total += _term(b"allowance", allowance_field(key).encode(), b"%d" % amount)
    return total % _MODULUS


def sum_of(terms: Iterable[int]) -> int:
    """The digest of terms."""
    return sum(terms) % _MODULUS


def _term(kind: bytes, name: bytes, value: bytes) -> int:
    # No field holds a zero byte, so different entries are different texts.
    return int.from_bytes(sha256(b"\0".join((kind, name, value))), "big")
