"""The whole check of the stored state: every block is replayed by all rules, every record compared with the result.

Walk: `FullAudit.run` → block by block along the list of heights: block, header, undo record, ids, index → then what a
replay ends with: accounts, allowances, histories, the tip and its digest. Given a `Mender`, what differs is written
right at once (services/repair.py).

Memory: the ledger twice, the hashes of the chain, and eight bytes for each place in a history.
"""

import json
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from services.audit import read_stored, shown
from services.errors import Damaged, TipMoved
from services.ports import Clock
from services.store.arguments import named_addresses
from services.store.chain import ChainStore
from services.store.digest import (
    Digest,
    account_term,
    allowance_term,
    header_term,
    read_digest,
    sum_of,
)
from services.store.faults import Finding
from services.store.ledger_copy import LedgerCopy, copy_ledger
from services.store.mender import Mender
from services.store.records import allowance_field, decode_entries, encode_account, encode_entries, encode_header
from shared.block import Block
from shared.errors import RuleError
from shared.ledger import Change
from shared.replay import Replay
from shared.rules import Rules

# Blocks that are read at once, with all their records.
_PAGE = 25
_NAMES = 1000
# Blocks above a wrong entry of the list of heights that are asked for the right one, before all links are followed.
_NEAR = 8
_ATTEMPTS = 5
# Half seconds to wait for a reorganisation to be finished.
_PATIENCE = 20
# Findings that are kept one by one; the rest are counted.
MAX_FINDINGS = 10_000
_POSITION_BITS = 20

Advance = Callable[[int, int], None]


class OutOfTime(Exception):
    """The check would take longer than it may."""


@dataclass(slots=True)
class Outcome:
    """What a whole check found."""

    replay: Replay
    findings: list[Finding] = field(default_factory=list)
    transactions: int = 0  # rewards included
    broken: int | None = None  # height of a block that is damaged; what lies above it could not be checked
    digest: Digest | None = None  # of the state that the blocks give
    tip: dict[str, str] = field(default_factory=dict)  # its fields, as the blocks give them

    def add(self, finding: Finding) -> None:
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(finding)


class FullAudit:
    """The whole check of one node's store."""

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
        """Check everything. Without a mender nothing is written and the chain may grow meanwhile.

        Args:
            advance: told the height that was checked, and the chain's.
            mender: writes what differs. Then the store must be marked, so that nobody else writes.
            signatures: False: what bodies must satisfy by themselves is not checked again (`Replay.step`).
            truncate: take what lies below the first damaged block for the whole chain.
            until: Unix seconds; the check gives up then.

        Raises:
            TipMoved: the chain is reorganised again and again.
            OutOfTime: see `until`.
        """
        for _ in range(_ATTEMPTS):
            try:
                return _Run(self._chain, self._rules, self._clock, mender, signatures, truncate, until, advance).run()
            except TipMoved:
                continue
        raise TipMoved("The chain was reorganised while it was checked.")

    def certain(self, advance: Advance = lambda done, total: None) -> Outcome:
        """Check everything, and what differs a second time: a reorganisation that is being finished is no fault."""
        first = self.run(advance)
        if not first.findings:
            return first
        # One that is interrupted is finished by the next housekeeping.
        for _ in range(_PATIENCE):
            if self._chain.redis.get(self._chain.keys.journal) is None:
                break
            self._clock.sleep(0.5)
        again = self.run(advance)
        again.findings = [finding for finding in again.findings if finding in first.findings]
        return again


class _Run:
    def __init__(
        self,
        chain: ChainStore,
        rules: Rules,
        clock: Clock,
        mender: Mender | None,
        signatures: bool,
        truncate: bool,
        until: float | None,
        advance: Advance,
    ) -> None:
        self._chain = chain
        self._redis, self._keys = chain.redis, chain.keys
        self._rules = rules
        self._clock = clock
        self._mender = mender
        self._signatures = signatures
        self._truncate = truncate
        self._until = until
        self._advance = advance
        self._out = Outcome(Replay(rules))
        self._hashes: list[bytes] = []  # the list of heights, as it is stored
        self._headers = 0  # sum of the terms of the headers
        self._histories: dict[str, array[int]] = {}
        self._links: dict[int, bytes] | None = None

    def run(self) -> Outcome:
        out = self._out
        self._grow()
        copy = copy_ledger(self._redis, self._keys)
        while out.broken is None and len(self._hashes) < copy.height:
            self._grow()
            copy = copy_ledger(self._redis, self._keys)
        if out.replay.tip is None or _text(copy.tip, b"hash") != out.replay.tip.hash:
            self._require_same_chain()
            if out.broken is None:
                self._go_on_to(copy.tip.get(b"hash", b""))
        if out.replay.tip is None or (out.broken is not None and not self._truncate):
            return out  # the ledger cannot be judged
        if out.broken is not None and self._mender is not None:
            self._mender.cut_heights(self._height)
        self._check_ledger(copy)
        self._check_tip(copy)
        self._check_index()
        self._check_histories()
        if self._mender is not None:
            self._mender.flush()
        return out

    @property
    def _height(self) -> int:
        tip = self._out.replay.tip
        return 0 if tip is None else tip.index

    # --- block by block ---

    def _grow(self) -> None:
        """Replay what the list of heights has more than was replayed."""
        self._hashes += self._redis.lrange(self._keys.heights, len(self._hashes), -1)
        start = self._height
        while start < len(self._hashes) and self._out.broken is None:
            if self._until is not None and self._clock.now() > self._until:
                raise OutOfTime
            self._page(start, min(start + _PAGE, len(self._hashes)))
            start = self._height
            self._advance(start, len(self._hashes))

    def _go_on_to(self, tip: bytes) -> None:
        """The list of heights ends before the tip, as far as its blocks are whole: replay those as well."""
        missing = self._linked(tip, self._height)
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
        pipeline = self._redis.pipeline(transaction=False)
        for key in (self._keys.blocks, self._keys.headers, self._keys.undo, self._keys.ids):
            pipeline.hmget(key, hashes)
        texts, headers, undos, ids = pipeline.execute()
        index: list[tuple[bytes, bytes]] = []
        for i, name in enumerate(hashes):
            height = start + i + 1
            step = self._step(height, name, texts[i])
            if step is None:
                break
            block, change = step
            if block.hash.encode() != name:  # the list of heights was wrong: the records are another block's
                name = block.hash.encode()
                headers[i], undos[i], ids[i] = (
                    self._redis.hget(key, name) for key in (self._keys.headers, self._keys.undo, self._keys.ids)
                )
            self._check_records(block, change, headers[i], undos[i], ids[i])
            index += [(bytes.fromhex(item.id), f"{height}:{n}".encode()) for n, item in enumerate(block.transactions)]
        self._compare_index(index)

    def _step(self, height: int, name: bytes, text: bytes | None) -> tuple[Block, Change] | None:
        """Replay one block; None where it is damaged."""
        trouble = self._trouble(height, name, text)
        if trouble is not None:
            self._require_same_chain()
            right = self._right_hash(height)
            found = self._redis.hget(self._keys.blocks, right) if right not in (None, name) else None
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
            block, change = self._out.replay.step(value, signatures=self._signatures)
        except RuleError as error:
            self._require_same_chain()
            self._out.add(Finding("block", f"{height}", f"what breaks the rule {error.rule}", ""))
            self._out.broken = height
            return None
        return self._rules.placed(block, change.before), change

    def _trouble(self, height: int, name: bytes, text: bytes | None) -> Finding | None:
        """Why a block cannot be the one of this height and hash, or None; then it is in `_loaded`."""
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
        self._loaded = json.loads(text)
        return None

    def _right_hash(self, height: int) -> bytes | None:
        """The hash of the block at a height by what lies above it: its child names it, or the tip is it."""
        for above in range(height + 1, min(height + _NEAR, len(self._hashes)) + 1):
            found = self._walk_back(self._hashes[above - 1], above, height)
            if found is not None:
                return found
        if self._links is None or height not in self._links:
            tip = self._redis.hget(self._keys.tip, "hash")
            self._links = self._linked(tip or b"", height - 1)
        return self._links.get(height)

    def _walk_back(self, name: bytes, at: int, to: int) -> bytes | None:
        """The hash at height `to`, from a block at height `at` by the links of whole blocks. None: one is damaged."""
        while at > to:
            block = self._whole(name)
            if block is None or block.index != at:
                return None
            name, at = str(block.header.previous_hash).encode(), at - 1
        return name

    def _linked(self, tip: bytes, above: int) -> dict[int, bytes]:
        """Height -> hash of the blocks above a height, by the links from the tip. Empty where a block is damaged."""
        found: dict[int, bytes] = {}
        name = tip
        while (block := self._whole(name)) is not None:
            if block.index <= above:
                parent = self._out.replay.tip
                return found if parent is None or parent.index != above or parent.hash.encode() == name else {}
            found[block.index] = name
            if block.index == 1:
                return found if above == 0 else {}
            name = str(block.header.previous_hash).encode()
        return {}

    def _whole(self, name: bytes) -> Block | None:
        """A stored block whose bytes give its hash."""
        text = self._redis.hget(self._keys.blocks, name)
        for height in (2, 1):
            try:
                block = read_stored(self._rules, text, height)
            except (Damaged, RuleError):
                continue
            return block if block.hash.encode() == name else None
        return None

    def _require_same_chain(self) -> None:
        """Raises: TipMoved, where the chain is not the one any more whose blocks were replayed."""
        tip = self._out.replay.tip
        now = self._redis.lrange(self._keys.heights, 0, -1)
        if self._mender is None and (tip is not None and now[: len(self._hashes)] != self._hashes):
            raise TipMoved

    def _check_records(
        self, block: Block, change: Change, header: bytes | None, undo: bytes | None, ids: bytes | None
    ) -> None:
        out, mender, place = self._out, self._mender, f"of block {block.index}"
        out.transactions += len(block.transactions)
        right = encode_header(block, out.replay.chainwork).encode()
        self._headers += header_term(block.index, block.hash.encode(), right)
        if header != right:
            out.add(Finding("header", place, shown(header), shown(right)))
            if mender is not None:
                mender.record(self._keys.headers, block.hash, right)
        if block.index > 1:
            before = encode_entries(change.before).encode()
            if undo != before and not _says(undo, change):
                out.add(Finding("undo", place, shown(undo), shown(before)))
                if mender is not None:
                    mender.record(self._keys.undo, block.hash, before)
        packed = bytes.fromhex("".join(item.id for item in block.transactions))
        if (ids or b"") != packed:
            out.add(Finding("ids", place, (ids or b"").hex(), packed.hex()))
            if mender is not None:
                mender.record(self._keys.ids, block.hash, packed)
        for position, transaction in enumerate(block.transactions):
            for address in named_addresses(transaction):
                self._histories.setdefault(address, array("Q")).append(block.index << _POSITION_BITS | position)

    def _compare_index(self, expected: list[tuple[bytes, bytes]]) -> None:
        for start in range(0, len(expected), _NAMES):
            part = expected[start : start + _NAMES]
            found = self._redis.hmget(self._keys.transactions, [name for name, _ in part])
            for (name, right), stored in zip(part, found, strict=True):
                if stored != right:
                    self._out.add(Finding("index", f"of transaction {name.hex()}", shown(stored), shown(right)))
                    if self._mender is not None:
                        self._mender.record(self._keys.transactions, name, right)

    # --- the state at the end ---

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
        old = read_digest(copy.tip.get(b"digest", b"").decode("ascii", "replace"), _text(copy.tip, b"hash"))
        repairs = old.repairs if old is not None else 0
        ledger = sum_of(
            [
                *(account_term(*item) for item in accounts.items()),
                *(allowance_term(*item) for item in allowances.items()),
            ]
        )
        assert replay.tip is not None, "genesis at least was replayed"
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
        """Whether the index knows transactions that the chain does not have."""
        if self._redis.hlen(self._keys.transactions) == self._out.transactions:
            return
        cursor = 0
        while True:
            cursor, page = self._redis.hscan(self._keys.transactions, cursor, count=_NAMES)
            for name, place in page.items():
                if self._is_stray(name, place):
                    self._out.add(Finding("index", f"of transaction {name.hex()}", shown(place), "nothing"))
                    if self._mender is not None:
                        self._mender.record(self._keys.transactions, name, None)
            if not cursor:
                return

    def _is_stray(self, name: bytes, place: bytes) -> bool:
        height, _, position = place.partition(b":")
        if not (height.isdigit() and position.isdigit()):
            return True
        if not 0 < int(height) <= self._height:  # above it, blocks may have come meanwhile
            return self._mender is not None or int(height) > len(self._redis.lrange(self._keys.heights, 0, -1))
        at = int(position)
        block_hash = self._redis.lindex(self._keys.heights, int(height) - 1) or b""
        return (self._redis.hget(self._keys.ids, block_hash) or b"")[32 * at : 32 * at + 32] != name

    def _check_histories(self) -> None:
        """The histories of all addresses."""
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
        """A history, without what has been appended to it since its blocks were replayed."""
        found: list[bytes] = []
        while True:
            page = self._redis.lrange(self._keys.history(address), len(found), len(found) + 5 * _NAMES - 1)
            found += page
            if len(page) < 5 * _NAMES:
                break
        if self._mender is None:
            while len(found) > length and _height_of(found[-1]) > self._height:
                found.pop()
        return found

    def _stray_histories(self) -> Iterator[bytes]:
        prefix = self._keys.history("")
        pattern = "".join(f"[{char}]" if char in "*?[]" else char for char in prefix) + "*"
        cursor, seen = 0, set()
        while True:
            cursor, names = self._redis.scan(cursor, match=pattern, count=_NAMES)
            for name in names:
                address = name.decode("utf-8", "replace").removeprefix(prefix)
                if address in self._histories or name in seen:
                    continue
                seen.add(name)
                first = self._redis.lrange(name.decode("utf-8", "replace"), 0, 0)
                if self._mender is not None or (first and _height_of(first[0]) <= self._height):
                    yield name
            if not cursor:
                return


def _says(undo: bytes | None, change: Change) -> bool:
    """Whether an undo record of an older release, which has no check, says the same."""
    try:
        return undo is not None and b'"check"' not in undo and decode_entries(undo) == change.before
    except Damaged:
        return False


def _places(items: "array[int]") -> Iterator[bytes]:
    for item in items:
        yield b"%d:%d" % (item >> _POSITION_BITS, item & (1 << _POSITION_BITS) - 1)


def _height_of(place: bytes) -> int:
    digits = place.partition(b":")[0]
    return int(digits) if digits.isdigit() else 0


def _at(items: list[bytes], position: int) -> bytes | None:
    return items[position] if position < len(items) else None


def _text(fields: dict[bytes, bytes], name: bytes) -> str:
    return fields.get(name, b"").decode("ascii", "replace")


def _number(text: bytes | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
