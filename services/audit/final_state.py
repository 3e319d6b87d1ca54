"""Comparing the end of a replay with what is stored: the ledger, the tip, the histories, stray index entries."""

import json
from array import array
from collections.abc import Iterator

from services.audit.outcome import Outcome
from services.audit.samples import shown
from services.store.chain import ChainStore
from services.store.digest import Digest, account_term, allowance_term, read_digest, sum_of
from services.store.faults import Finding
from services.store.index import POSITION_BITS
from services.store.ledger_copy import LedgerCopy
from services.store.mender import Mender
from services.store.records import allowance_field, encode_account


class FinalState:
    """The end of a replay, compared with what is stored."""

    def __init__(
        self,
        chain: ChainStore,
        out: Outcome,
        headers: int,
        histories: "dict[str, array[int]]",
        mender: Mender | None,
        pruned: int = 0,
    ) -> None:
        """
        Args:
            headers: sum of the terms of all headers (`header_term`).
            histories: per address its places: height << POSITION_BITS | position.
            pruned: height up to which no bodies are kept: what histories say of these blocks is not compared.
        """
        self._stored, self._keys = chain.stored, chain.keys
        self._out = out
        self._headers = headers
        self._histories = histories
        self._mender = mender
        self._pruned = pruned

    def check(self, copy: LedgerCopy) -> None:
        """Compare everything with `copy`, the stored ledger, and add what differs to the outcome."""
        self._check_ledger(copy)
        self._check_tip(copy)
        self._check_index()
        self._check_histories()

    @property
    def _height(self) -> int:
        tip = self._out.replay.tip
        return 0 if tip is None else tip.index

    def _check_ledger(self, copy: LedgerCopy) -> None:
        """Accounts and allowances, against the replay."""
        replay = self._out.replay
        accounts = {address.encode(): encode_account(item).encode() for address, item in replay.accounts.items()}
        allowances = {allowance_field(pair).encode(): b"%d" % amount for pair, amount in replay.allowances.items()}
        for kind, key, stored, right in (
            ("account", self._keys.accounts, copy.accounts, accounts),
            ("allowance", self._keys.allowances, copy.allowances, allowances),
        ):
            for name in sorted(stored.keys() | right.keys()):
                if stored.get(name) != right.get(name):
                    self._out.add(Finding(kind, shown(name), shown(stored.get(name)), shown(right.get(name))))
                    if self._mender is not None:
                        self._mender.record(key, name, right.get(name))
        old = read_digest(copy.tip_text(b"digest"), copy.tip_text(b"hash"))
        repairs = old.repairs if old is not None else 0
        ledger = sum_of(
            [
                *(account_term(*item) for item in accounts.items()),
                *(allowance_term(*item) for item in allowances.items()),
            ]
        )
        assert replay.tip is not None, "genesis was replayed"
        digest = self._out.digest = Digest(replay.tip.hash, ledger, sum_of([self._headers]), repairs)
        if old is not None and digest != old and self._out.broken is None:
            self._out.add(Finding("digest", "in the tip", str(old), str(digest)))

    def _check_tip(self, copy: LedgerCopy) -> None:
        """The fields of the tip."""
        replay, out = self._out.replay, self._out
        assert replay.tip is not None
        out.tip = {
            "hash": replay.tip.hash,
            "height": str(replay.tip.index),
            "chainwork": str(replay.chainwork),
            "supply": str(replay.supply),
            "timestamp": json.dumps(replay.tip.timestamp),
        }
        for name, right in out.tip.items():
            stored = copy.tip.get(name.encode())
            if stored != right.encode() and not (name == "timestamp" and _number(stored) == replay.tip.timestamp):
                out.add(Finding("tip", name, shown(stored), right))

    def _check_index(self) -> None:
        """Whether the index has transactions that the chain does not have."""
        if self._mender is not None:
            self._mender.flush()
        if self._stored.index_size() == self._out.transactions:
            return
        for name, place in self._stored.index():
            if self._is_stray(name, place):
                self._out.add(Finding("index", f"of transaction {name.hex()}", shown(place), "nothing"))
                if self._mender is not None:
                    self._mender.record(self._keys.transactions, name, None)
        if self._mender is not None:
            self._mender.count_index(self._out.transactions)

    def _is_stray(self, name: bytes, place: bytes) -> bool:
        height, _, position = place.partition(b":")
        if not (height.isdigit() and position.isdigit()):
            return True
        if not 0 < int(height) <= self._height:  # blocks above it may be newer than the replay
            return self._mender is not None or int(height) > self._stored.length()
        at = int(position)
        block_hash = self._stored.hash_at(int(height)) or b""
        return (self._stored.ids(block_hash) or b"")[32 * at : 32 * at + 32] != name

    def _check_histories(self) -> None:
        """The histories of all addresses, and those of addresses that should have none."""
        for address, places in self._histories.items():
            right = list(_places(places))
            stored = self._stored_history(address, len(right))
            if stored != right:
                at = next(
                    (i for i, (a, b) in enumerate(zip(stored, right, strict=False)) if a != b),
                    min(len(stored), len(right)),
                )
                self._out.add(
                    Finding("history", f"of {address}, item {at}", shown(_at(stored, at)), shown(_at(right, at)))
                )
                if self._mender is not None:
                    self._mender.history(self._keys.history(address), [place.decode() for place in right])
        for name in self._stray_histories():
            self._out.add(Finding("history", f"of {shown(name)}", "a list", "nothing"))
            if self._mender is not None:
                self._mender.history(name.decode(), [])

    def _stored_history(self, address: str, length: int) -> list[bytes]:
        """A history, without what was appended to it after its blocks were replayed."""
        found = [item for item in self._stored.history(address) if _height_of(item) > self._pruned]
        if self._mender is None:
            while len(found) > length and _height_of(found[-1]) > self._height:
                found.pop()
        return found

    def _stray_histories(self) -> Iterator[bytes]:
        seen = set()
        for name, address in self._stored.histories():
            if address in self._histories or name in seen:
                continue
            seen.add(name)
            if self._mender is not None or self._is_stray_history(address):
                yield name

    def _is_stray_history(self, address: str) -> bool:
        """Whether the history of an address that no replayed block names has a place in one of them."""
        first = self._stored.first_place(address)
        if first is None or self._pruned < _height_of(first) <= self._height:
            return first is not None
        return any(self._pruned < _height_of(item) <= self._height for item in self._stored.history(address))


def _places(items: "array[int]") -> Iterator[bytes]:
    for item in items:
        yield b"%d:%d" % (item >> POSITION_BITS, item & (1 << POSITION_BITS) - 1)


def _height_of(place: bytes) -> int:
    digits = place.partition(b":")[0]
    return int(digits) if digits.isdigit() else 0


def _at(items: list[bytes], position: int) -> bytes | None:
    return items[position] if position < len(items) else None


def _number(text: bytes | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
