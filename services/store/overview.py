"""The state of a node in one query: tip, mempool, round, requests and search jobs. And the memory of a server."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from redis.exceptions import NoPermissionError

from services.ports import Store
from services.store.figures import RoundFigures, round_figures
from services.store.keys import Keys
from services.store.mining import LONGEST_PROMISE
from services.store.records import Tip, decode_tip
from services.store.rounds import ROUND_FIELDS, SEARCH_FIELDS, Round, RoundWorker


@dataclass(frozen=True, slots=True)
class NodeOverview:
    """The state of one node, for everything that shows it.

    While a round is open, `round`, `figures` and `counters` are read a moment after the others, together.
    """

    tip: Tip
    pool_size: int  # transactions that wait
    pool_bytes: int  # of the mempool's entries
    round: Round | None  # the open one
    requests: int  # mining requests that wait
    differs: bool  # the stored state is marked as wrong
    searchers: int  # search jobs that search, or linger until the next round
    figures: RoundFigures | None = None  # of the open round
    counters: Mapping[str, int] = field(default_factory=dict)  # totals since the chain began
    hash_rate_limit: int | None = None  # hashes per second of all workers; None: no limit
    kept_from: int = 1  # height of the first block from which on all bodies are kept


@dataclass(frozen=True, slots=True)
class ServerMemory:
    """The memory of a Redis or Valkey server, in bytes."""

    used: int
    limit: int  # its `maxmemory`, or all memory of its machine where it has none


def server_memory(redis: Store) -> ServerMemory | None:
    """What the server says of its memory, in one round trip. None: its access rules or its kind keep it from saying."""
    try:
        found = redis.info("memory")
    except NoPermissionError:
        return None
    used, limit = found.get("used_memory"), found.get("maxmemory") or found.get("total_system_memory")
    return ServerMemory(int(used), int(limit)) if used and limit else None


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
        pipeline.hgetall(keys.counters)
        pipeline.hget(keys.hash_rate, "limit")
        pipeline.hget(keys.packed, "pruned")
        tip, pool_size, pool_bytes, round_id, requests, fault, searchers, counters, limit, pruned = pipeline.execute()
        found = figures = None
        if round_id:
            found, figures, counters = self._round(round_id.decode(), now)
        return NodeOverview(
            tip=decode_tip(tip),
            pool_size=pool_size,
            pool_bytes=int(pool_bytes or 0),
            round=found,
            requests=requests,
            differs=fault > 0,
            searchers=searchers,
            figures=figures,
            counters={name.decode(): int(value) for name, value in counters.items()},
            hash_rate_limit=None if limit is None else int(limit),
            kept_from=int(pruned or 0) + 1,
        )

    def memory(self) -> ServerMemory | None:
        """The memory of the node's store; see `server_memory`."""
        return server_memory(self._redis)

    def _round(self, round_id: str, now: float) -> tuple[Round | None, RoundFigures | None, Mapping[bytes, bytes]]:
        """A round and its figures, if it is there, and the totals that fit them."""
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.hmget(self._keys.round(round_id), list(ROUND_FIELDS))
        pipeline.hmget(self._keys.round_search(round_id), list(SEARCH_FIELDS))
        pipeline.hgetall(self._keys.round_workers(round_id))
        pipeline.hgetall(self._keys.counters)
        fields, search, workers, counters = pipeline.execute()
        found = Round.read(fields, search)
        if found is None:
            return None, None, counters
        by_name = {name.decode(): RoundWorker.read(value) for name, value in workers.items()}
        return found, round_figures(found, by_name, now), counters
