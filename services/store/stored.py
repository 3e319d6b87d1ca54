"""What is stored of a chain, byte for byte, for the checks against the blocks (services/audit).

Nothing is decoded here: what cannot be read must be reported as it is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.store.base import NodeStore
from services.store.ledger_copy import LedgerCopy, copy_ledger

# Index entries and names of keys that are asked for at once.
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """The records of one block; None for one that is not there."""

    text: bytes | None  # the canonical block
    header: bytes | None
    undo: bytes | None
    ids: bytes | None


class StoredRecords(NodeStore):
    """The records of one node."""

    # --- the list of heights ---

    def length(self) -> int:
        """How many blocks the list of heights has."""
        return self._redis.llen(self.keys.heights)

    def hashes(self, above: int = 0) -> list[bytes]:
        """The hashes of all blocks above a height, the lowest first."""
        return self._redis.lrange(self.keys.heights, above, -1)

    def hash_at(self, height: int) -> bytes | None:
        return self._redis.lindex(self.keys.heights, height - 1)

    def hashes_with_parents(self, heights: Sequence[int]) -> list[list[bytes]]:
        """Per height, the hashes of the block's parent (none at height 1) and of the block, in one round trip."""
        pipeline = self._redis.pipeline(transaction=False)
        for height in heights:
            pipeline.lrange(self.keys.heights, max(height - 2, 0), height - 1)
        return pipeline.execute() if heights else []

    # --- blocks ---

    def block(self, block_hash: bytes) -> bytes | None:
        """The text under a hash."""
        return self._redis.hget(self.keys.blocks, block_hash)

    def header(self, block_hash: bytes) -> bytes | None:
        return self._redis.hget(self.keys.headers, block_hash)

    def ids(self, block_hash: bytes) -> bytes | None:
        """The packed ids of a block's transactions."""
        return self._redis.hget(self.keys.ids, block_hash)

    def blocks(self, hashes: list[bytes]) -> list[StoredBlock]:
        """All that is stored of some blocks, in one round trip."""
        pipeline = self._redis.pipeline(transaction=False)
        for key in (self.keys.blocks, self.keys.headers, self.keys.undo, self.keys.ids):
            pipeline.hmget(key, hashes)
        replies = pipeline.execute() if hashes else [[]] * 4
        return [StoredBlock(*records) for records in zip(*replies, strict=True)]

    def blocks_with_parents(self, names: Sequence[list[bytes]]) -> tuple[list[StoredBlock], list[bytes | None]]:
        """All that is stored of some blocks, and the headers of their parents, in one round trip.

        Args:
            names: per block what `hashes_with_parents` returns. Genesis has no parent, so None in its place.
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
        return blocks, parents

    def headers(self, length: int, page: int) -> Iterator[tuple[int, bytes, bytes | None]]:
        """Height, hash and stored header of the first `length` blocks; `page` of them at a time."""
        for start in range(0, length, page):
            hashes = self._redis.lrange(self.keys.heights, start, min(start + page, length) - 1)
            texts = self._redis.hmget(self.keys.headers, hashes) if hashes else []
            for number, (block_hash, text) in enumerate(zip(hashes, texts, strict=True), start=start + 1):
                yield number, block_hash, text

    # --- the tip and the ledger ---

    def tip_hash(self) -> bytes | None:
        return self._redis.hget(self.keys.tip, "hash")

    def ledger(self) -> LedgerCopy:
        """The whole ledger at one moment: see `copy_ledger`, also for what is raised."""
        return copy_ledger(self._redis, self.keys)

    # --- indexes ---

    def places(self, ids: list[bytes]) -> list[bytes | None]:
        """Per transaction id (32 bytes), its entry in the index."""
        return self._redis.hmget(self.keys.transactions, ids)

    def index_size(self) -> int:
        """How many transactions the index has."""
        return self._redis.hlen(self.keys.transactions)

    def tip_and_index_size(self) -> tuple[bytes | None, int]:
        """Hash of the tip and the size of the index, at one moment."""
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.hget(self.keys.tip, "hash")
        pipeline.hlen(self.keys.transactions)
        tip, size = pipeline.execute()
        return tip, size

    def index(self) -> Iterator[tuple[bytes, bytes]]:
        """All entries of the index: id, place. One that changes meanwhile may come twice."""
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
