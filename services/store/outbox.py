"""The outbox in Redis: ids of admitted transactions that were not relayed to peers yet."""

from collections.abc import Sequence

from services.store.base import NodeStore

# Beyond this number the oldest are forgotten: peers get them in a block.
CAP = 20_000


class Outbox(NodeStore):
    """A queue of ids. An id that is taken twice is relayed twice; no node admits it twice."""

    def put(self, ids: Sequence[str]) -> int:
        """Add ids. Returns how many wait now."""
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.rpush(self.keys.outbox, *ids)
        pipeline.ltrim(self.keys.outbox, -CAP, -1)
        return int(pipeline.execute()[0])

    def first(self) -> str | None:
        """The oldest id, or None."""
        found = self._redis.lindex(self.keys.outbox, 0)
        return None if found is None else found.decode()

    def peek(self, limit: int) -> list[str]:
        """The oldest `limit` ids, which stay."""
        return [item.decode() for item in self._redis.lrange(self.keys.outbox, 0, limit - 1)]

    def take(self, ids: Sequence[str]) -> None:
        """Remove ids that were relayed."""
        pipeline = self._redis.pipeline(transaction=True)
        for item in ids:
            pipeline.lrem(self.keys.outbox, 1, item)
        pipeline.execute()
