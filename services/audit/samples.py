"""Comparing one block with what is stored of it, and undoing the last blocks one after the other."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from services.errors import Damaged
from services.store.faults import Finding
from services.store.ledger_copy import LedgerCopy
from services.store.records import (
    StoredHeader,
    allowance_field,
    decode_account,
    decode_allowance,
    decode_entries,
    decode_header,
    encode_account,
    encode_header,
)
from services.store.stored import StoredBlock
from shared.block import Block, Header
from shared.errors import RuleError
from shared.ledger import Account, Entries
from shared.rules import Rules

_NO_BLOCK = Block(Header(0, 0, "", 0, "", 0, ""), (), b"")


@dataclass(frozen=True, slots=True)
class Sample:
    """One block, what is stored of it, and what differs."""

    block: Block
    stored: StoredHeader
    undo: Entries
    findings: tuple[Finding, ...]

    @classmethod
    def read(
        cls,
        rules: Rules,
        height: int,
        name: str,
        found: StoredBlock,
        parent: bytes | None,
    ) -> "Sample":
        """Compare what is stored of the block with the hash `name`. `parent`: the stored header of its parent."""
        place = f"of block {height}"
        findings: list[Finding] = []
        try:
            block = read_stored(rules, found.text, height)
            if block.hash != name:
                raise Damaged(f"gives the hash {block.hash} instead of {name}")
        except (Damaged, RuleError) as error:
            return cls._unreadable(found.header, Finding("block", f"{height}", f"{error}", ""))
        try:
            work = decode_header(parent).chainwork + rules.work(block.header) if parent is not None else 0
        except Damaged:
            work = 0
            findings.append(Finding("header", f"of block {height - 1}", shown(parent), ""))
        right = encode_header(block, work).encode()
        if found.header != right and not findings:
            findings.append(Finding("header", place, shown(found.header), shown(right)))
        before = Entries()
        try:
            before = decode_entries(found.undo or b"") if height > 1 else before
        except Damaged:
            findings.append(Finding("undo", place, shown(found.undo), ""))
        placed = rules.placed(block, before)
        packed = bytes.fromhex("".join(item.id for item in placed.transactions))
        if (found.ids or b"") != packed and not findings:
            findings.append(Finding("ids", place, (found.ids or b"").hex(), packed.hex()))
        return cls(placed, StoredHeader(block.header, work, block.size, len(block.transactions)), before, (*findings,))

    @classmethod
    def _unreadable(cls, header: bytes | None, finding: Finding) -> "Sample":
        try:
            stored = decode_header(header or b"")
        except Damaged:
            stored = StoredHeader(_NO_BLOCK.header, 0, 0, 0)
        return cls(_NO_BLOCK, stored, Entries(), (finding,))


class Undoing:
    """Undoes blocks of a copy of the ledger, the last first.

    A block, applied to its undo record, must give the ledger that is left after undoing the blocks above it.
    """

    def __init__(self, rules: Rules, copy: LedgerCopy) -> None:
        self._rules = rules
        self._accounts: dict[str, Account] = {}
        self._allowances: dict[tuple[str, str], int] = {}
        self._copy = copy

    def undo(self, block: Block, before: Entries, height: int) -> Iterator[Finding]:
        """Undo the next block. `before`: its undo record."""
        try:
            after = self._rules.apply(block, before).after
        except RuleError as error:
            yield Finding("undo", f"of block {height}", f"leads to a block that breaks {error.code}", "")
            return
        for address, account in after.accounts.items():
            stored = self._account(address)
            if stored != account:
                yield Finding(
                    "account", address, encode_account(stored) or "nothing", encode_account(account) or "nothing"
                )
        for pair, amount in after.allowances.items():
            if self._allowance(pair) != amount:
                yield Finding("allowance", allowance_field(pair), str(self._allowance(pair)), str(amount))
        self._accounts.update(before.accounts)
        self._allowances.update(before.allowances)

    def _account(self, address: str) -> Account:
        found = self._accounts.get(address)
        return decode_account(self._copy.accounts.get(address.encode())) if found is None else found

    def _allowance(self, pair: tuple[str, str]) -> int:
        found = self._allowances.get(pair)
        return decode_allowance(self._copy.allowances.get(allowance_field(pair).encode())) if found is None else found


def read_stored(rules: Rules, text: bytes | None, height: int) -> Block:
    """A block from its stored bytes.

    Raises:
        Damaged: there are none, or they are not JSON.
        RuleError: they are not a block.
    """
    if text is None:
        raise Damaged("nothing")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise Damaged("what is not JSON") from None
    return rules.adopt_genesis(value) if height == 1 else rules.read_block(value)


def shown(value: bytes | None) -> str:
    """Stored bytes as printable text, since damaged ones may hold anything; "nothing" for None."""
    return "nothing" if value is None else repr(value)[2:-1]
