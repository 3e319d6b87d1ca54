"""The full check of the stored state: every block is replayed by all rules, and every record is compared.

Where old bodies were pruned, the replay begins after them (services/audit/pruned.py).

Walk: `FullAudit.run` → block by block along the list of heights: block, header, undo record, ids, index → then the end
of the replay: accounts, allowances, histories, the tip and its digest. Given a `Mender`, each record that differs is
corrected at once (services/audit/repair.py).

Memory: the ledger twice, the hashes of the chain, and eight bytes for each place in a history.
"""

import json
from array import array
from collections.abc import Callable
from dataclasses import dataclass

from services.audit.final_state import FinalState
from services.audit.links import Links
from services.audit.outcome import Outcome
from services.audit.pruned import PrunedPart
from services.audit.samples import read_stored, shown
from services.errors import Damaged, Pruned, TipMoved
from services.ports import Clock
from services.store.arguments import named_addresses
from services.store.chain import ChainStore
from services.store.digest import header_term
from services.store.faults import Finding
from services.store.index import POSITION_BITS
from services.store.mender import Mender
from services.store.packing import BLOCKS
from services.store.records import decode_entries, encode_entries, encode_header
from services.store.stored import StoredBlock
from shared.block import Block
from shared.errors import RuleError
from shared.ledger import Change
from shared.replay import Replay
from shared.rules import Rules

# Blocks that are read at once, with all their records. Packed ones by whole packs, so that none is read twice.
_PAGE = 32
_PACKED_PAGE = BLOCKS
# Index entries that are read at once.
_NAMES = 1000
# Where an entry of the list of heights is wrong, this many blocks above it are tried, before all links are followed.
_NEAR = 8
_ATTEMPTS = 5
# Half seconds to wait for a reorganisation to be finished.
_PATIENCE = 20
CANNOT_REPAIR = (
    "The bodies of blocks 2 to {} were pruned (QUARRY_KEEP), so the state cannot be rebuilt from the blocks. Remove "
    "the chain (quarry reset) and fetch it anew from a peer that keeps all blocks, or restore a copy of the store."
)

Advance = Callable[[int, int], None]


class OutOfTime(Exception):
    """The check would take longer than it may."""


@dataclass(frozen=True, slots=True)
class _Options:
    """How a check runs; `FullAudit.run` describes them."""

    advance: Advance
    mender: Mender | None
    signatures: bool
    truncate: bool
    until: float | None


class FullAudit:
    """The full check of one node's store."""

    def __init__(self, chain: ChainStore, rules: Rules, clock: Clock) -> None:
        self._chain = chain
        self._rules = rules
        self._clock = clock

    def run(
        self,
        advance: Advance = lambda done, total: None,
        *,
        mender: Mender | None = None,
        signatures: bool = True,
        truncate: bool = False,
        until: float | None = None,
    ) -> Outcome:
        """Check everything. Without a mender nothing is written, and the chain may grow meanwhile.

        Args:
            advance: called with the height that has been checked and the height of the chain.
            mender: writes what differs. The store must be marked then, so that nothing else writes.
            signatures: False skips what depends on a body alone, such as signatures (`Replay.step`).
            truncate: treat the blocks below the first damaged one as the whole chain.
            until: Unix seconds; the check gives up then.

        Raises:
            Pruned: there is a mender, and the bodies by which it could correct the ledger were pruned.
            TipMoved: the chain is reorganised again and again.
            OutOfTime: see `until`.
        """
        kept_from = self._chain.kept_from()
        if mender is not None and kept_from > 1:
            raise Pruned(kept_from, CANNOT_REPAIR.format(kept_from - 1))
        options = _Options(advance, mender, signatures, truncate, until)
        for _ in range(_ATTEMPTS):
            try:
                return _Run(self._chain, self._rules, self._clock, options).run()
            except TipMoved:
                continue
        raise TipMoved("The chain was reorganised while it was checked.")

    def certain(self, advance: Advance = lambda done, total: None) -> Outcome:
        """Check everything, and once more if something differs, since an unfinished reorganisation looks like damage.

        Raises:
            TipMoved: as `run`.
        """
        first = self.run(advance)
        if not first.findings:
            return first
        # The reorganisation may have been interrupted; then the next housekeeping finishes it.
        for _ in range(_PATIENCE):
            if not self._chain.has_journal():
                break
            self._clock.sleep(0.5)
        again = self.run(advance)
        again.findings = [finding for finding in again.findings if finding in first.findings]
        return again


class _Run:
    """One check from the first block to the last."""

    def __init__(self, chain: ChainStore, rules: Rules, clock: Clock, options: _Options) -> None:
        self._chain = chain
        self._stored, self._keys = chain.stored, chain.keys
        self._rules = rules
        self._clock = clock
        self._options = options
        self._mender = options.mender
        self._out = Outcome(Replay(rules))
        self._hashes: list[bytes] = []  # the list of heights, as it is stored
        self._headers = 0  # sum of the terms of the headers
        self._histories: dict[str, array[int]] = {}
        self._packed = chain.packs.totals().height  # of the last packed block
        self._pruned = chain.kept_from() - 1  # height of the last block without a body
        self._named = 0  # up to which height blocks were looked for by their hash
        self._by_links = Links(chain.stored, rules)
        self._links: dict[int, bytes] | None = None

    def run(self) -> Outcome:
        out = self._out
        if self._pruned:
            self._check_pruned()
        self._grow()
        copy = self._stored.ledger()
        while out.broken is None and len(self._hashes) < copy.height:
            self._grow()
            copy = self._stored.ledger()
        if out.replay.tip is None or copy.tip_text(b"hash") != out.replay.tip.hash:
            self._require_same_chain()
            if out.broken is None:
                self._go_on_to(copy.tip.get(b"hash", b""))
        if out.replay.tip is None or (out.broken is not None and not self._options.truncate):
            return out  # the ledger cannot be judged
        if out.broken is not None and self._mender is not None:
            self._mender.cut_heights(self._height)
        FinalState(self._chain, out, self._headers, self._histories, self._mender, self._pruned).check(copy)
        if self._mender is not None:
            self._mender.flush()
        return out

    @property
    def _height(self) -> int:
        tip = self._out.replay.tip
        return 0 if tip is None else tip.index

    def _check_pruned(self) -> None:
        """Judge what is left of the blocks whose bodies were pruned, and begin the replay after them."""
        self._hashes = self._stored.hashes()
        part = PrunedPart(self._chain, self._rules, self._out, self._hashes, self._pruned)
        part.check(self._stored.ledger(), self._compare_index)
        self._headers += part.headers
        if self._out.broken is not None:
            self._require_kept()

    def _require_kept(self) -> None:
        """Raises: TipMoved, if more bodies were pruned since the check began."""
        if self._chain.kept_from() != self._pruned + 1:
            raise TipMoved

    # --- block by block ---

    def _grow(self) -> None:
        """Replay the blocks that the list of heights has gained since the last call."""
        self._hashes += self._stored.hashes(len(self._hashes))
        start = self._height
        while start < len(self._hashes) and self._out.broken is None:
            until = self._options.until
            if until is not None and self._clock.now() > until:
                raise OutOfTime
            page = _PACKED_PAGE if start + _PACKED_PAGE <= self._packed else _PAGE
            self._page(start, min(start + page, len(self._hashes)))
            start = self._height
            self._options.advance(start, len(self._hashes))

    def _go_on_to(self, tip: bytes) -> None:
        """Where the list of heights ends before the tip: replay the blocks up to the tip as well, if they are whole."""
        missing = self._by_links.linked(tip, self._height, self._out.replay.tip)
        for height, name in sorted(missing.items()):
            self._hashes.append(name)
            self._out.add(Finding("height", f"{height}", "nothing", shown(name)))
            if self._mender is not None:
                self._mender.add_height(name.decode())
        if missing:
            self._grow()

    def _page(self, start: int, end: int) -> None:
        """Replay the heights `start + 1` to `end`, and compare what is stored of their blocks."""
        hashes = self._hashes[start:end]
        index: list[tuple[bytes, bytes]] = []
        blocks = self._stored.blocks(hashes, start + 1)
        for height, name, stored in zip(range(start + 1, end + 1), hashes, blocks, strict=True):
            step = self._step(height, name, stored.text)
            if step is None:
                break
            block, change = step
            if block.hash.encode() != name:  # the list of heights was wrong: these are the records of another block
                [stored] = self._stored.blocks([block.hash.encode()], height)
            self._check_records(block, change, stored)
            index += [(bytes.fromhex(item.id), f"{height}:{n}".encode()) for n, item in enumerate(block.transactions)]
        self._compare_index(index, {start + 1 + i: block.ids or b"" for i, block in enumerate(blocks)})
        if start < self._packed and (end % _NAMES < end - start or end >= min(self._packed, len(self._hashes))):
            self._check_names(end)

    def _check_names(self, end: int) -> None:
        """Whether the packed blocks up to a height are found by their hash; asked for many at once."""
        start, self._named = self._named, end
        for height in self._stored.unnamed(self._hashes[start:end], start + 1):
            if height <= self._height:
                self._out.add(Finding("index", f"of block {height}", "nothing", "its pack"))

    def _step(self, height: int, name: bytes, text: bytes | None) -> tuple[Block, Change] | None:
        """Replay one block; None if it is damaged."""
        trouble = self._trouble(height, name, text)
        if trouble is not None:
            self._require_kept()
            self._require_same_chain()
            right = self._right_hash(height)
            found = self._stored.block(right) if right is not None and right != name else None
            if right is None or found is None or self._trouble(height, right, found) is not None:
                self._out.add(trouble)
                self._out.broken = height
                return None
            self._out.add(Finding("height", f"{height}", shown(name), right.decode()))
            if self._mender is not None:
                self._mender.height(height, right.decode())
            text = found
        value = self._loaded
        try:
            block, change = self._out.replay.step(value, signatures=self._options.signatures)
        except RuleError as error:
            self._require_same_chain()
            self._out.add(Finding("block", f"{height}", f"what breaks the rule {error.code}", ""))
            self._out.broken = height
            return None
        return self._rules.placed(block, change.before), change

    def _trouble(self, height: int, name: bytes, text: bytes | None) -> Finding | None:
        """Why a text cannot be the block of this height and hash; None if it can: then it is `_loaded`."""
        try:
            block = read_stored(self._rules, text, height)
        except (Damaged, RuleError) as error:
            return Finding("block", f"{height}", f"{error}", "")
        parent = self._out.replay.tip
        if block.hash.encode() != name:
            return Finding("block", f"{height}", f"what has the hash {block.hash}", shown(name))
        if parent is not None and block.header.previous_hash != parent.hash:
            return Finding("height", f"{height}", f"{shown(name)}, which does not follow {parent.hash}", "")
        assert text is not None
        self._loaded = json.loads(text) if height == 1 else block  # genesis is replayed from its JSON value
        return None

    def _right_hash(self, height: int) -> bytes | None:
        """The hash of the block at a height according to the blocks above it, or to the tip."""
        for above in range(height + 1, min(height + _NEAR, len(self._hashes)) + 1):
            found = self._by_links.walk_back(self._hashes[above - 1], above, height)
            if found is not None:
                return found
        if self._links is None or height not in self._links:
            tip = self._stored.tip_hash()
            self._links = self._by_links.linked(tip or b"", height - 1, self._out.replay.tip)
        return self._links.get(height)

    def _require_same_chain(self) -> None:
        """Raises: TipMoved, if the blocks that were replayed are no longer the chain."""
        tip = self._out.replay.tip
        now = self._stored.hashes()
        if self._mender is None and (tip is not None and now[: len(self._hashes)] != self._hashes):
            raise TipMoved

    def _check_records(self, block: Block, change: Change, stored: StoredBlock) -> None:
        out, mender, place = self._out, self._mender, f"of block {block.index}"
        out.transactions += len(block.transactions)
        right = encode_header(block, out.replay.chainwork).encode()
        self._headers += header_term(block.index, block.hash.encode(), right)
        if stored.header != right:
            out.add(Finding("header", place, shown(stored.header), shown(right)))
            if mender is not None:
                mender.record(self._keys.headers, block.hash, right)
        if block.index > 1:
            before = encode_entries(change.before).encode()
            if stored.undo != before and not _says(stored.undo, change):
                out.add(Finding("undo", place, shown(stored.undo), shown(before)))
                if mender is not None:
                    mender.record(self._keys.undo, block.hash, before)
        packed = bytes.fromhex("".join(item.id for item in block.transactions))
        if (stored.ids or b"") != packed:
            out.add(Finding("ids", place, (stored.ids or b"").hex(), packed.hex()))
            if mender is not None:
                mender.record(self._keys.ids, block.hash, packed)
        for position, transaction in enumerate(block.transactions):
            for address in named_addresses(transaction):
                self._histories.setdefault(address, array("Q")).append(block.index << POSITION_BITS | position)

    def _compare_index(self, expected: list[tuple[bytes, bytes]], blocks: dict[int, bytes]) -> None:
        """`blocks`: the ids of each block's transactions as they are stored, by height."""
        for start in range(0, len(expected), _NAMES):
            part = expected[start : start + _NAMES]
            found = self._stored.places([name for name, _ in part], blocks)
            for (name, right), stored in zip(part, found, strict=True):
                if stored != right:
                    self._out.add(Finding("index", f"of transaction {name.hex()}", shown(stored), shown(right)))
                    if self._mender is not None:
                        self._mender.record(self._keys.transactions, name, right)


def _says(undo: bytes | None, change: Change) -> bool:
    """Whether an undo record of an older release, which has no check of its text, holds the entries before a change."""
    try:
        return undo is not None and b'"check"' not in undo and decode_entries(undo) == change.before
    except Damaged:
        return False
