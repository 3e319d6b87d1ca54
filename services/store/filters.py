"""JSON-RPC filters in Redis: what a client watches, and how far it has looked. They expire when nobody polls them."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from services.store.base import NodeStore

# A filter that nobody polls is forgotten after this many seconds, as in geth.
KEEP_SECONDS = 300
# Filters that one node keeps at once.
MAX_FILTERS = 1000

Kind = Literal["logs", "blocks", "pending"]


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter."""

    kind: Kind
    criteria: dict[str, Any]  # of logs, as the client gave them
    height: int  # the last block that was looked at
    hash: str
    event: str  # the last event that was looked at


class FilterStore(NodeStore):
    """The filters of one node; any of its API processes can answer any of them."""

    def add(self, filter_id: str, new: Filter, now: float) -> bool:
        """Keep a new filter; False when there are too many."""
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.zremrangebyscore(self.keys.filters, "-inf", now)
        pipeline.zcard(self.keys.filters)
        if int(pipeline.execute()[1]) >= MAX_FILTERS:
            return False
        self.save(filter_id, new, now)
        return True

    def get(self, filter_id: str) -> Filter | None:
        found = self._redis.get(self.keys.filter(filter_id))
        return None if found is None else Filter(**json.loads(found))

    def save(self, filter_id: str, current: Filter, now: float) -> None:
        """Keep a filter as it is now, for another while."""
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.set(self.keys.filter(filter_id), json.dumps(asdict(current)), ex=KEEP_SECONDS)
        pipeline.zadd(self.keys.filters, {filter_id: now + KEEP_SECONDS})
        pipeline.execute()

    def remove(self, filter_id: str) -> bool:
        """Forget a filter; whether it was there."""
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.delete(self.keys.filter(filter_id))
        pipeline.zrem(self.keys.filters, filter_id)
        return bool(pipeline.execute()[0])
