"""The state of a node in one query: tip, mempool, round, requests and search jobs."""

from dataclasses import dataclass

from services.ports import Store
from services.store.keys import Keys
from services.store.mining import LONGEST_PROMISE
from services.store.records import Tip, decode_tip
from services.store.rounds import ROUND_FIELDS, Round


@dataclass(frozen=True, slots=True)
class NodeOverview:
    """The state of one node, for everything that shows it. All but `round` are read at one moment."""

    tip: Tip
    pool_size: int  # transactions that wait
    pool_bytes: int  # of the mempool's entries
    round: Round | None  # the open one
    requests: int  # mining requests that wait
    differs: bool  # the stored state is marked as wrong
    searchers: int  # search jobs that search, or linger until the next round


class OverviewStore:
    """Reads the overview of one node."""

    def __init__(self, redis: Store, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    def read(self, now: float) -> NodeOverview:
        """The state at `now` (Unix seconds), in one round trip, or in two while a round is open.

        Raises:
            NotBegun, Damaged: as `decode_tip`.
        """
        keys = self._keys
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.hgetall(keys.tip)
        pipeline.hlen(keys.entries)
        pipeline.hget(keys.pool, "bytes")
        pipeline.get(keys.open_round)
        pipeline.llen(keys.requests)
        pipeline.hlen(keys.fault)
        pipeline.zcount(keys.searchers, now, now + LONGEST_PROMISE)
        tip, pool_size, pool_bytes, round_id, requests, fault, searchers = pipeline.execute()
        return NodeOverview(
            tip=decode_tip(tip),
            pool_size=pool_size,
            pool_bytes=int(pool_bytes or 0),
            round=self._round(round_id.decode()) if round_id else None,
            requests=requests,
            differs=fault > 0,
            searchers=searchers,
        )

    def _round(self, round_id: str) -> Round | None:
        return Round.read(self._redis.hmget(self._keys.round(round_id), list(ROUND_FIELDS)))
