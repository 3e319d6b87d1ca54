"""JSON-RPC filters in Redis: what a client watches, and how far it has looked."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from services.store.base import NodeStore

# A filter that is not polled for this many seconds is forgotten, as in geth.
KEEP_SECONDS = 300
# Filters that one node keeps at once.
MAX_FILTERS = 1000

Kind = Literal["logs", "blocks", "pending"]


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter."""

    kind: Kind
    criteria: dict[str, Any]  # of logs, as the client gave them
    height: int  # of the last block that was looked at
    hash: str  # of the same
    event: str  # id of the last event that was looked at


class FilterStore(NodeStore):
    """The filters of one node; any of its API processes can answer any of them."""

    def add(self, filter_id: str, new: Filter, now: float) -> bool:
        """Store a new filter; False if there are MAX_FILTERS already."""
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
        """Store a filter for another KEEP_SECONDS."""
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.set(self.keys.filter(filter_id), json.dumps(asdict(current)), ex=KEEP_SECONDS)
        pipeline.zadd(self.keys.filters, {filter_id: now + KEEP_SECONDS})
        pipeline.execute()

    def remove(self, filter_id: str) -> bool:
        """Forget a filter. Returns whether it was there."""
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.delete(self.keys.filter(filter_id))
        pipeline.zrem(self.keys.filters, filter_id)
        return bool(pipeline.execute()[0])
