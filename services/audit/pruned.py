"""The full check where the oldest bodies were pruned: what is left of these blocks, and the ledger to go on from.

Walk: the headers of all pruned blocks are judged by all rules, and compared with their ids and with the index → the
stored ledger is rolled back by the undo records of all blocks that are kept → the replay goes on from there. So each
entry that a kept block changes is compared with what the blocks give. The others are covered by the digest in the tip.
"""

from collections import deque
from collections.abc import Callable, Iterator

from services.audit.outcome import Outcome
from services.audit.samples import read_stored, shown
from services.errors import Damaged, TipMoved
from services.store.chain import ChainStore
from services.store.digest import header_term
from services.store.faults import Finding
from services.store.index import unpacked
from services.store.ledger_copy import LedgerCopy
from services.store.records import decode_account, decode_allowance, decode_entries, decode_header
from shared.block import Header
from shared.errors import RuleError
from shared.ledger import NO_ACCOUNT, Account, AllowanceKey, Entries
from shared.replay import Replay
from shared.rules import Rules

# Blocks whose records are read at once.
_PAGE = 64
_ID_BYTES = 32

Index = list[tuple[bytes, bytes]]  # id and place of transactions


class PrunedPart:
    """The check of one chain up to its last pruned block."""

    def __init__(self, chain: ChainStore, rules: Rules, out: Outcome, hashes: list[bytes], pruned: int) -> None:
        """
        Args:
            hashes: the list of heights.
            pruned: height of the last block without a body.
        """
        self._stored = chain.stored
        self._rules = rules
        self._out = out
        self._hashes = hashes
        self._pruned = pruned
        self.headers = 0  # sum of the terms of the headers
        self._window: deque[Header] = deque(maxlen=rules.window_size)
        self._work = 0

    def check(self, copy: LedgerCopy, compare: Callable[[Index, dict[int, bytes]], None]) -> None:
        """Judge the headers, and let the outcome's replay go on after the last of them. What cannot be read ends the
        check: `Outcome.broken` says where.

        Args:
            copy: the stored ledger.
            compare: compares entries of the index with what is stored; takes them, and the ids of blocks by height.

        Raises:
            TipMoved: the list of heights does not end at the tip of the copy.
        """
        if copy.height > len(self._hashes) or self._hashes[copy.height - 1] != copy.tip.get(b"hash"):
            raise TipMoved
        for start in range(0, self._pruned, _PAGE):
            end = min(start + _PAGE, self._pruned)
            index: Index = []
            ids: dict[int, bytes] = {}
            for height, found in enumerate(self._stored.blocks(self._hashes[start:end], start + 1), start + 1):
                if not self._header(height, self._hashes[height - 1], found.header, found.text):
                    return
                ids[height] = found.ids or b""
                self._count(height, found.header or b"", ids[height])
                names = map(bytes.fromhex, unpacked(ids[height]))
                index += [(name, b"%d:%d" % (height, position)) for position, name in enumerate(names)]
            compare(index, ids)
        ledger = self._rolled_back(copy)
        if ledger is not None:
            self._out.replay = Replay.after(self._rules, tuple(self._window), self._work, ledger)

    def _header(self, height: int, name: bytes, text: bytes | None, body: bytes | None) -> bool:
        """Judge one header against those before it. Returns whether the check can go on."""
        try:
            stored = decode_header(text or b"")
            if height == 1:
                header = read_stored(self._rules, body, 1).header
            else:
                header = self._rules.read_header(stored.header.to_object())
                self._rules.check_header(header, tuple(self._window), None)
                self._work += self._rules.work(header)
            if (header, header.hash.encode(), stored.chainwork) != (stored.header, name, self._work):
                raise Damaged(shown(text))
        except (Damaged, RuleError) as error:
            what = f"what breaks the rule {error.code}" if isinstance(error, RuleError) else f"{error}"
            self._out.add(Finding("header", f"of block {height}", what, ""))
            self._out.broken = height
            return False
        self._window.append(header)
        self.headers += header_term(height, name, text or b"")
        return True

    def _count(self, height: int, header: bytes, ids: bytes) -> None:
        right = decode_header(header).transactions
        self._out.transactions += right
        if len(ids) != _ID_BYTES * right:
            found = f"{len(ids) // _ID_BYTES} ids"
            self._out.add(Finding("ids", f"of block {height}", found, f"{right}, by its header"))

    def _rolled_back(self, copy: LedgerCopy) -> Entries | None:
        """The ledger after the last pruned block, by the undo records. None: one cannot be read."""
        accounts: dict[str, Account] = {}
        allowances: dict[AllowanceKey, int] = {}
        supply = 0
        for height, text in self._undos(copy.height):
            try:
                before = decode_entries(text or b"")
            except Damaged:
                self._out.add(Finding("undo", f"of block {height}", shown(text), ""))
                self._out.broken = height
                return None
            accounts.update(before.accounts)
            allowances.update(before.allowances)
            supply = before.supply
        stored = {name.decode("ascii", "replace"): _account(text) for name, text in copy.accounts.items()}
        given = {_pair(name): _amount(text) for name, text in copy.allowances.items()}
        return Entries(
            {address: item for address, item in (stored | accounts).items() if item != NO_ACCOUNT},
            {pair: amount for pair, amount in (given | allowances).items() if amount},
            supply,
        )

    def _undos(self, last: int) -> Iterator[tuple[int, bytes | None]]:
        """Height and undo record of the kept blocks, from height `last` down."""
        for end in range(last, self._pruned, -_PAGE):
            start = max(self._pruned, end - _PAGE)
            found = self._stored.blocks(self._hashes[start:end], start + 1)
            yield from zip(range(end, start, -1), (block.undo for block in reversed(found)), strict=True)


def _account(text: bytes) -> Account:
    """A stored account; none where it cannot be read, which the comparison at the end reports."""
    try:
        return decode_account(text)
    except Damaged:
        return NO_ACCOUNT


def _amount(text: bytes) -> int:
    try:
        return decode_allowance(text)
    except Damaged:
        return 0


def _pair(field: bytes) -> AllowanceKey:
    owner, _, spender = field.decode("ascii", "replace").partition(":")
    return owner, spender
