"""Correcting records one by one, while the node is marked and nothing else writes.

The repair may be killed after any write: the mark stays until everything is done, and the next repair finds the rest.
"""

from collections.abc import Sequence

from services.ports import Store
from services.store.keys import Keys
from services.store.packing import PackStore

# Commands that are sent together.
_TOGETHER = 500


class Mender:
    """The writes of one repair. They are sent in groups; `flush` sends the last one.

    A record that is written for a packed block counts in place of the one in the pack.
    """

    def __init__(self, redis: Store, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._packs = PackStore(redis, keys)
        self._pipeline = redis.pipeline(transaction=False)
        self._waiting = 0
        self.written = 0

    def record(self, key: str, field: str | bytes, value: bytes | None) -> None:
        """Write one field of a hash; None deletes it."""
        if value is None:
            self._pipeline.hdel(key, field)
        else:
            self._pipeline.hset(key, field, value)
        self._count()

    def height(self, height: int, block_hash: str) -> None:
        """Correct one entry of the list of heights."""
        self._pipeline.lset(self._keys.heights, height - 1, block_hash)
        self._count()

    def add_height(self, block_hash: str) -> None:
        """Append an entry to the list of heights."""
        self._pipeline.rpush(self._keys.heights, block_hash)
        self._count()

    def cut_heights(self, height: int) -> None:
        """End the list of heights with `height`. Packs of that block and of those above it are taken apart first."""
        self.flush()
        self._packs.unpack_above(height, 0.0)
        self._pipeline.ltrim(self._keys.heights, 0, height - 1)
        self._count()

    def history(self, key: str, places: Sequence[str]) -> None:
        """Write the whole history of an address. `key`: of the list; no places delete it."""
        self._pipeline.delete(key)
        for start in range(0, len(places), _TOGETHER):
            self._pipeline.rpush(key, *places[start : start + _TOGETHER])
        self._count()

    def name_packed(self, token: str) -> None:
        """Make the index of packed blocks and transactions anew. `token`: of the repair's mark.

        Raises:
            TipMoved: another repair has begun.
        """
        self._packs.name_again(token)

    def count_index(self, transactions: int) -> None:
        """Correct the count of packed transactions. `transactions`: of the whole chain, all in the index now."""
        self.flush()
        packed = transactions - self._redis.hlen(self._keys.transactions)
        if packed != self._packs.totals().transactions:
            self._redis.hset(self._keys.packed, "transactions", str(packed))

    def stage(self, block_hash: str, now: float) -> None:
        """Stage a block that is no longer on the chain: it can come back until it is forgotten."""
        self._pipeline.zadd(self._keys.staged, {block_hash: now})
        self._count()

    def flush(self) -> None:
        if self._waiting:
            self._pipeline.execute()
            self._waiting = 0

    def _count(self) -> None:
        self._waiting += 1
        self.written += 1
        if self._waiting >= _TOGETHER:
            self.flush()
