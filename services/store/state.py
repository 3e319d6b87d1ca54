"""What a state file needs of the store beyond what others read and write (services/development/states.py)."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from services.store.base import NodeStore
from services.store.packs import full_hash
from services.store.records import id_of

_PAGE = 1000


class StateStore(NodeStore):
    """Blocks that are not on the chain, the order of arrival, and records of one node."""

    def mark(self) -> tuple[Any, ...]:
        """Something that differs after any change of what a state file holds."""
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.hgetall(self.keys.tip)
        pipeline.hgetall(self.keys.pool)
        pipeline.hlen(self.keys.records)
        pipeline.hlen(self.keys.headers)
        pipeline.zrange(self.keys.staged, 0, -1, withscores=True)
        pipeline.hgetall(self.keys.snapshot_totals)
        pipeline.zcard(self.keys.snapshots)
        return tuple(repr(sorted(item.items()) if isinstance(item, dict) else item) for item in pipeline.execute())

    def stale(self) -> dict[str, float | None]:
        """Hashes of the blocks that are stored but not on the chain → when they were staged, if they still are."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.zrange(self.keys.staged, 0, -1, withscores=True)
        [found] = pipeline.execute()
        staged = {name.decode(): float(at) for name, at in found}
        on_chain = {full_hash(name).decode() for name in self._redis.lrange(self.keys.heights, 0, -1)}
        stored = (name.decode() for name, _ in self._items(self.keys.headers))
        return {name: staged.get(name) for name in stored if name not in on_chain}

    def arrivals(self) -> list[str]:
        """Ids of the waiting transactions in the order of their arrival (the number in an order member)."""
        members = self._redis.zrange(self.keys.order, 0, -1)
        return [id_of(member) for member in sorted(members, key=lambda member: member[64:76])]

    def records(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Ids of transactions that left the mempool, and their records, in no order."""
        for name, text in self._items(self.keys.records):
            yield name.decode(), json.loads(text)

    def _items(self, key: str) -> Iterator[tuple[bytes, bytes]]:
        """The fields of a hash, each once."""
        seen: set[bytes] = set()
        cursor = 0
        while True:
            cursor, page = self._redis.hscan(key, cursor, count=_PAGE)
            yield from ((name, value) for name, value in page.items() if name not in seen)
            seen.update(page)
            if cursor == 0:
                return

    def place(self, stale: Mapping[str, float | None]) -> None:
        """Note when blocks were staged; None: they were on the chain once, so they are kept."""
        pipeline = self._redis.pipeline(transaction=True)
        for name, staged_at in stale.items():
            if staged_at is None:
                pipeline.zrem(self.keys.staged, name)
            else:
                pipeline.zadd(self.keys.staged, {name: staged_at})
        pipeline.execute()

    def renew(self, waiting: Sequence[str], left: Mapping[str, Mapping[str, Any]], now: float) -> None:
        """Write records, and have the time until waiting transactions expire and records are forgotten begin now.

        Args:
            waiting: ids of waiting transactions.
            left: records by id.
        """
        for start in range(0, max(len(waiting), len(left)), _PAGE):
            pipeline = self._redis.pipeline(transaction=True)
            for name in waiting[start : start + _PAGE]:
                pipeline.zadd(self.keys.expiry, {name: now})
            for name in list(left)[start : start + _PAGE]:
                pipeline.hset(self.keys.records, name, json.dumps(left[name], separators=(",", ":")))
                pipeline.zadd(self.keys.record_times, {name: now})
            pipeline.execute()
