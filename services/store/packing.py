"""Packing old blocks, and taking packs apart again. Each is one script, so a process that is killed leaves nothing half
done. A pack is compared with what it was made of, byte for byte, before it takes its place.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from services.errors import Damaged, Pruned, TipMoved
from services.ports import Store
from services.store.base import NodeStore
from services.store.index import unpacked
from services.store.keys import Keys
from services.store.pack_form import BlockRecords, pack, unpack
from services.store.packs import HEIGHT_BYTES, full_hash, hash_of, name_of_block, name_of_transaction
from services.store.stored import StoredRecords

# Most blocks of a pack, and bytes and transactions after which no block is added. A single block may have more.
BLOCKS = 64
BYTES = 2**18
TRANSACTIONS = 2000
# A block with more stays as it is: one script could not move it in a tenth of a second.
MOST_BYTES, MOST_TRANSACTIONS = 2**23, 8000
# Seconds for which nothing is packed after blocks were unpacked, so that a reorganisation finds them so.
HELD_SECONDS = 600
_ATTEMPTS = 5
_ID_BYTES = 32


@dataclass(frozen=True, slots=True)
class Packed:
    """Totals of the packs of one node: the fields of the hash `packed`."""

    height: int = 0  # of the last block that was looked at; blocks above it are not packed
    blocks: int = 0  # in packs
    transactions: int = 0  # of packed blocks, without those that the index has all the same
    bytes: int = 0  # of the packs
    names: int = 0  # records of packed blocks and transactions
    buckets: int = 1  # that these are in
    changes: int = 0  # packs made and taken apart so far: scripts compare it
    held: int = 0  # Unix seconds until which nothing is packed
    microseconds: int = 0  # that making the packs has taken so far
    pruned: int = 0  # height up to which bodies and undo records are gone, but for genesis (services/store/pruning.py)


class PackStore(NodeStore):
    """The packs of one node."""

    def __init__(self, redis: Store, keys: Keys) -> None:
        super().__init__(redis, keys)
        self._stored = StoredRecords(redis, keys)

    def totals(self) -> Packed:
        found = {name.decode(): int(value) for name, value in self._redis.hgetall(self.keys.packed).items()}
        return Packed(**{item.name: found[item.name] for item in fields(Packed) if item.name in found})

    def pack_next(self, depth: int, clock: Callable[[], float]) -> int:
        """Pack the lowest blocks that are not packed, if they lie at least `depth` blocks below the tip.

        Args:
            clock: Unix seconds.

        Returns:
            how many blocks were looked at: 0 if there are too few, or the chain is changing.
        """
        began = clock()
        before = self.totals()
        tip = self._redis.hgetall(self.keys.tip)
        first, last = before.height + 1, int(tip.get(b"height", b"0")) - depth
        if last < first + BLOCKS - 1 or before.held > began:
            return 0
        found = self._redis.lrange(self.keys.heights, first - 1, first + BLOCKS - 2)
        blocks = self._readable(list(map(full_hash, found)), first)
        made = pack(blocks) if blocks else None
        if made is None:
            blocks = []
        repairs = tip.get(b"digest", b"").rpartition(b":")[2]
        count = len(blocks) or 1
        args: list[object] = [
            first, first + count - 1, made or b"", before.changes, repairs, depth,
            max(0, round(1e6 * (clock() - began))), clock(),
        ]  # fmt: skip
        hashes: list[object] = []
        for block in blocks:
            hashes += [hash_of(block), bytes.fromhex(hash_of(block).decode())]
        for values in (hashes, _index(blocks, first), _records(blocks, first)):
            args += [len(values), *values]
        outcome = self._scripts.run("pack", [self.keys.prefix], args)
        return count if outcome == b"packed" else 0

    def _readable(self, hashes: list[bytes], first: int) -> list[BlockRecords]:
        """The blocks of the next pack; none if the first cannot be packed."""
        blocks: list[BlockRecords] = []
        size = count = 0
        for start in range(0, len(hashes), 8):
            part = hashes[start : start + 8]
            for name, block in zip(part, self._stored.blocks(part, first + start), strict=True):
                room = len(block.text or b"") + len(block.header or b"") + len(block.undo or b"")
                many = len(block.ids or b"") // _ID_BYTES
                if not _fits(name, block) or room > MOST_BYTES or many > MOST_TRANSACTIONS:
                    return blocks
                if blocks and (size + room > BYTES or count + many > TRANSACTIONS):
                    return blocks
                blocks.append(block)
                size, count = size + room, count + many
        return blocks

    def unpack_above(self, height: int, now: float) -> int:
        """Take apart the packs that hold the block at a height or blocks above it.

        Nothing is packed for HELD_SECONDS from `now` (Unix seconds) on. A pack that cannot be read is removed: its
        blocks are lost.

        Returns:
            how many packs there were.

        Raises:
            Pruned: the bodies of some of these blocks are gone. Nothing has changed.
            TipMoved: the packs change again and again.
        """
        done = failed = 0
        while (before := self.totals()).height >= max(height, 1):
            if before.pruned >= max(height, 1):
                raise Pruned(before.pruned + 1)
            if self._unpack_last(before, now):
                done, failed = done + 1, 0
            else:
                failed += 1
                if failed == _ATTEMPTS:
                    raise TipMoved("The packs of old blocks changed while they were taken apart.")
        return done

    def name_again(self, token: str) -> None:
        """Make the index of what is packed anew from the packs. Safe to repeat, and needed if it was cut off.

        Args:
            token: of the mark of the repair that asks for it.

        Raises:
            TipMoved: another repair has begun.
        """
        records: list[bytes] = []
        first = 1
        starts = self._redis.zrange(self.keys.pack_starts, 0, -1)
        for number, start in enumerate(starts, 1):
            value = self._redis.hget(self.keys.packs, start)
            try:
                records += _records(unpack(value, "ids"), int(start)) if value is not None else []
            except Damaged:
                pass  # its blocks are reported
            if len(records) > TRANSACTIONS or number == len(starts):
                if not self._scripts.run("rename_packed", [self.keys.prefix], [token, first, *records]):
                    raise TipMoved("Another repair has begun meanwhile.")
                records, first = [], 0

    def _unpack_last(self, before: Packed, now: float) -> bool:
        [start] = self._redis.zrange(self.keys.pack_starts, -1, -1)
        first = int(start)
        value = self._redis.hget(self.keys.packs, start)
        try:
            blocks = unpack(value) if value is not None else []
        except Damaged:
            blocks = []
        args: list[object] = [first, before.changes, int(now) + HELD_SECONDS]
        records: list[object] = []
        missing: list[object] = []
        for height, block in enumerate(blocks, first):
            name = hash_of(block)
            fields = (block.text, block.header, block.undo, block.ids)
            records += [name, bytes.fromhex(name.decode()), height, *(item or b"" for item in fields)]
            for kind, item in (("undo", block.undo), ("ids", block.ids)):
                missing += [name, kind] if item is None else []
        for values in (records, _index(blocks, first), _records(blocks, first), missing):
            args += [len(values), *values]
        return bool(self._scripts.run("unpack", [self.keys.prefix], args) == b"unpacked")


def _fits(name: bytes, block: BlockRecords) -> bool:
    """Whether a block may be packed: it is whole, and its header names the hash that it is stored under."""
    try:
        raw = bytes.fromhex(name.decode())
    except ValueError:
        return False
    return block.text is not None and block.header is not None and len(raw) == _ID_BYTES and hash_of(block) == name


def _index(blocks: Sequence[BlockRecords], first: int) -> list[object]:
    """The entries of blocks in the transaction index: id, place, id, place, …"""
    values: list[object] = []
    for height, block in enumerate(blocks, first):
        for position, identifier in enumerate(unpacked(block.ids or b"")):
            values += [bytes.fromhex(identifier), f"{height}:{position}"]
    return values


def _records(blocks: Sequence[BlockRecords], first: int) -> list[bytes]:
    """The records of blocks and their transactions in the index of what is packed (lua/names.lua)."""
    values: list[bytes] = []
    for height, block in enumerate(blocks, first):
        at = height.to_bytes(HEIGHT_BYTES, "big")
        ids = block.ids or b""
        names = [name_of_transaction(ids[i : i + _ID_BYTES]) for i in range(0, len(ids), _ID_BYTES)]
        values += [name + at for name in (name_of_block(hash_of(block)), *names)]
    return values
