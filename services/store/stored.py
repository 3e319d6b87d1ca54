"""What is stored of a chain, byte for byte, for the checks against the blocks (services/audit).

Nothing is decoded here: what cannot be read must be reported as it is.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

from services.ports import Store
from services.store.base import NodeStore
from services.store.index import position_of
from services.store.keys import Keys
from services.store.ledger_copy import LedgerCopy, copy_ledger
from services.store.pack_form import BlockRecords
from services.store.packs import RecordReader, full_hash

# Index entries and names of keys that are asked for at once.
_PAGE = 1000


# The records of one block.
StoredBlock = BlockRecords


class StoredRecords(NodeStore):
    """The records of one node."""

    def __init__(self, redis: Store, keys: Keys) -> None:
        super().__init__(redis, keys)
        self._blocks = RecordReader(redis, keys, self._scripts, audits=True)

    # --- the list of heights ---

    def length(self) -> int:
        """How many blocks the list of heights has."""
        return self._redis.llen(self.keys.heights)

    def hashes(self, above: int = 0) -> list[bytes]:
        """The hashes of all blocks above a height, the lowest first."""
        return [full_hash(item) for item in self._redis.lrange(self.keys.heights, above, -1)]

    def hash_at(self, height: int) -> bytes | None:
        found = self._redis.lindex(self.keys.heights, height - 1)
        return None if found is None else full_hash(found)

    def hashes_with_parents(self, heights: Sequence[int]) -> list[list[bytes]]:
        """Per height, the hashes of the block's parent (none at height 1) and of the block, in one round trip."""
        pipeline = self._redis.pipeline(transaction=False)
        for height in heights:
            pipeline.lrange(self.keys.heights, max(height - 2, 0), height - 1)
        return [list(map(full_hash, pair)) for pair in pipeline.execute()] if heights else []

    # --- blocks ---

    def block(self, block_hash: bytes) -> bytes | None:
        """The text under a hash."""
        return self._blocks.one("blocks", block_hash)

    def header(self, block_hash: bytes) -> bytes | None:
        return self._blocks.one("headers", block_hash)

    def ids(self, block_hash: bytes) -> bytes | None:
        """The packed ids of a block's transactions."""
        return self._blocks.one("ids", block_hash)

    def blocks(self, hashes: list[bytes], first: int = 0) -> list[StoredBlock]:
        """All that is stored of some blocks, in one round trip, or in two if some are packed.

        Args:
            first: as `RecordReader.many`.
        """
        pipeline = self._redis.pipeline(transaction=False)
        for key in (self.keys.blocks, self.keys.headers, self.keys.undo, self.keys.ids):
            pipeline.hmget(key, hashes)
        replies = pipeline.execute() if hashes else [[]] * 4
        found = [StoredBlock(*records) for records in zip(*replies, strict=True)]
        return self._completed(hashes, [first + i if first else 0 for i in range(len(hashes))], found)

    def blocks_with_parents(
        self, names: Sequence[list[bytes]], heights: Sequence[int]
    ) -> tuple[list[StoredBlock], list[bytes | None]]:
        """All that is stored of some blocks, and the headers of their parents.

        Args:
            names: per block what `hashes_with_parents` returns. Genesis has no parent, so None in its place.
            heights: of the blocks.
        """
        pipeline = self._redis.pipeline(transaction=False)
        for hashes in names:
            pipeline.hmget(self.keys.headers, hashes)
            for key in (self.keys.blocks, self.keys.undo, self.keys.ids):
                pipeline.hget(key, hashes[-1])
        replies = pipeline.execute() if names else []
        blocks, parents = [], []
        for headers, text, undo, ids in zip(*(replies[i::4] for i in range(4)), strict=True):
            blocks.append(StoredBlock(text, headers[-1], undo, ids))
            parents.append(headers[0] if len(headers) > 1 else None)
        blocks = self._completed([hashes[-1] for hashes in names], heights, blocks)
        for i, hashes in enumerate(names):
            if parents[i] is None and len(hashes) > 1:
                parents[i] = self._blocks.one("headers", hashes[0], heights[i] - 1)
        return blocks, parents

    def _completed(
        self, hashes: Sequence[bytes], heights: Sequence[int], found: list[StoredBlock]
    ) -> list[StoredBlock]:
        """The records, with those that are in packs."""
        at = [i for i, block in enumerate(found) if block.text is None or block.header is None or block.ids is None]
        packed = dict(self._blocks.packed([hashes[i] for i in at], [heights[i] for i in at])) if at else {}
        for i in at:
            own, other = found[i], packed.get(hashes[i])
            if other is not None:
                found[i] = StoredBlock(
                    other.text if own.text is None else own.text,
                    other.header if own.header is None else own.header,
                    other.undo if own.undo is None else own.undo,
                    other.ids if own.ids is None else own.ids,
                )
        return found

    def unnamed(self, hashes: list[bytes], first: int) -> list[int]:
        """The heights of those packed blocks that cannot be found by their hash.

        Args:
            first: the height of the first block; the others follow it on the chain.
        """
        known = zip(range(first, first + len(hashes)), hashes, self._blocks.heights(hashes), strict=True)
        lost = [(height, name) for height, name, heights in known if height not in heights]
        names = [name for _, name in lost]
        alone = self._redis.hmget(self.keys.blocks, names) if lost else []
        headers = self._redis.hmget(self.keys.headers, names) if lost else []
        pruned = self._blocks.pruned() if lost else 0  # up to there the headers alone are left
        return [
            height
            for (height, _), text, header in zip(lost, alone, headers, strict=True)
            if text is None and (header is None or height > pruned)
        ]

    def headers(self, length: int, page: int) -> Iterator[tuple[int, bytes, bytes | None]]:
        """Height, hash and stored header of the first `length` blocks; `page` of them at a time."""
        for start in range(0, length, page):
            found = self._redis.lrange(self.keys.heights, start, min(start + page, length) - 1)
            hashes = list(map(full_hash, found))
            texts = self._blocks.many("headers", hashes, start + 1)
            for number, (block_hash, text) in enumerate(zip(hashes, texts, strict=True), start=start + 1):
                yield number, block_hash, text

    # --- the tip and the ledger ---

    def tip_hash(self) -> bytes | None:
        return self._redis.hget(self.keys.tip, "hash")

    def ledger(self) -> LedgerCopy:
        """The whole ledger at one moment: see `copy_ledger`, also for what is raised."""
        return copy_ledger(self._redis, self.keys, self._blocks)

    # --- indexes ---

    def places(self, ids: list[bytes], blocks: Mapping[int, bytes] | None = None) -> list[bytes | None]:
        """Per transaction id (32 bytes), its entry in the index, or what it would be if its block were not packed.

        Args:
            blocks: the ids of blocks that the caller has read already, by height.
        """
        known = blocks or {}
        found: list[bytes | None] = []
        places = list(self._blocks.places(ids))
        other = self._packed_ids({height for _, heights in places for height in heights if height not in known})
        for name, (place, heights) in zip(ids, places, strict=True):
            for height in heights:
                position = position_of(known.get(height, other.get(height, b"")), name)
                if position is not None:
                    place = b"%d:%d" % (height, position)
                    break
            found.append(place)
        return found

    def _packed_ids(self, heights: Collection[int]) -> dict[int, bytes]:
        """By height, the ids of the transactions of packed blocks."""
        order = sorted(heights)
        pipeline = self._redis.pipeline(transaction=False)
        for height in order:
            pipeline.lrange(self.keys.heights, height - 1, height - 1)
        hashes = [full_hash(found[0]) if found else b"" for found in (pipeline.execute() if order else [])]
        alone = self._redis.hmget(self.keys.ids, hashes) if order else []
        packed = dict(self._blocks.packed(hashes, order, "ids"))
        return {
            height: (packed[name].ids if name in packed else own) or b""
            for height, name, own in zip(order, hashes, alone, strict=True)
        }

    def index_size(self) -> int:
        """How many transactions the index has, those of packed blocks included."""
        return self.tip_and_index_size()[1]

    def tip_and_index_size(self) -> tuple[bytes | None, int]:
        """Hash of the tip and the size of the index, at one moment."""
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.hget(self.keys.tip, "hash")
        pipeline.hlen(self.keys.transactions)
        pipeline.hget(self.keys.packed, "transactions")
        tip, size, packed = pipeline.execute()
        return tip, size + int(packed or 0)

    def index(self) -> Iterator[tuple[bytes, bytes]]:
        """All entries of the index but those of packed blocks: id, place. One that changes meanwhile may come twice."""
        cursor = 0
        while True:
            cursor, page = self._redis.hscan(self.keys.transactions, cursor, count=_PAGE)
            yield from page.items()
            if not cursor:
                return

    def history(self, address: str) -> list[bytes]:
        """The whole history of an address, in pages, oldest first."""
        key, step = self.keys.history(address), 5 * _PAGE
        found: list[bytes] = []
        while True:
            page = self._redis.lrange(key, len(found), len(found) + step - 1)
            found += page
            if len(page) < step:
                return found

    def histories(self) -> Iterator[tuple[bytes, str]]:
        """Key and address of every history. One may come twice."""
        prefix = self.keys.history("")
        pattern = "".join(f"[{char}]" if char in "*?[]" else char for char in prefix) + "*"
        cursor = 0
        while True:
            cursor, names = self._redis.scan(cursor, match=pattern, count=_PAGE)
            for name in names:
                yield name, name.decode("utf-8", "replace").removeprefix(prefix)
            if not cursor:
                return

    def first_place(self, address: str) -> bytes | None:
        """The oldest item of a history."""
        return self._redis.lindex(self.keys.history(address), 0)
