"""What mining workers do in the store of a node: claim, report, hand in. Nothing else is needed to search.

`deploy/users.acl` lets the user `miner` do what is here, and no more.
"""

from dataclasses import dataclass
from typing import Literal

from services.ports import Pipeline, Store
from services.store.base import NodeStore
from services.store.events import EventStream
from services.store.inbox import FoundProof
from services.store.keys import Keys
from services.store.rounds import ROUND_FIELDS, SEARCH_FIELDS, Round


@dataclass(frozen=True, slots=True)
class Claim:
    """A range of proofs that one worker took, and what it needs to search them."""

    round_id: str
    version: str  # of the template
    prefix: bytes  # what proofs are appended to: the template's seal
    difficulty: int
    proofs: range  # empty: other workers hold enough for now, or hold this one's share of the hash-rate limit
    share: float | None = None  # hashes per second that the worker may do while it holds the claim; None: no limit
    is_old: bool = False  # the claim is empty because the node was called to renew the round's template


@dataclass(frozen=True, slots=True)
class Searched:
    """Hashes done for one version of a round's template."""

    version: str = ""
    hashes: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """A search job, and what it has done since its last report."""

    worker: str  # name of the search job's worker
    searched: Searched


@dataclass(frozen=True, slots=True)
class Times:
    """The times that a claim is judged by."""

    now: float  # Unix seconds
    searching_until: float  # Unix seconds; the worker counts as searching until then
    template_seconds: float  # a template that is older needs to be renewed
    arrival_seconds: float = 0  # one that is older needs it if transactions have arrived; 0: they do not count


class SearchStore(NodeStore):
    """The rounds of one node as its mining workers see them."""

    def __init__(self, redis: Store, keys: Keys) -> None:
        super().__init__(redis, keys)
        self.events = EventStream(redis, keys)

    def claim(
        self,
        round_id: str,
        report: Report,
        wanted: int,
        times: Times,
        enough: int = 0,
        demand: float = 0.0,
    ) -> Claim | Literal["stale", "ended"]:
        """Report what was searched and take the next `wanted` proofs.

        Args:
            wanted: 0 only reports.
            enough: take none, and return an empty claim, if other workers hold more proofs than this many times the
                difficulty. Only for a worker that has nothing to report. 0: take them in any case.

        Returns:
            the claim; "stale" if the round needs a new template first; "ended" if it is not open.
        """
        searched = report.searched
        args = [
            round_id,
            report.worker,
            wanted,
            searched.version or "0",
            searched.hashes,
            times.now,
            times.template_seconds,
            times.searching_until,
            enough,
            times.arrival_seconds,
            demand,
        ]
        reply = self._scripts.run("claim", [self.keys.prefix], args)
        if reply[0] == b"ended":
            return "ended"
        if reply[0] == b"stale":
            return "stale"
        outcome, version, prefix, difficulty, *granted = reply
        if outcome != b"open":
            share = 0.0 if outcome == b"later" else None
            return Claim(round_id, version.decode(), prefix, int(difficulty), range(0), share)
        first, share = int(granted[0]), float(granted[1]) if granted[1] else None
        return Claim(round_id, version.decode(), prefix, int(difficulty), range(first, first + wanted), share)

    def hand_in(self, found: FoundProof) -> bool:
        """Hand a proof to the node's desk. False: its round has ended, or too much waits there already."""
        return bool(self._scripts.run("hand_in", [self.keys.prefix], [found.text, found.round_id]))

    def round(self, round_id: str) -> Round | None:
        """One round, without its template."""
        pipeline = self._redis.pipeline(transaction=False)
        self._ask_for(pipeline, round_id)
        return Round.read(*pipeline.execute())

    def is_open(self, round_id: str) -> bool:
        """Whether a round is open."""
        return self._redis.hget(self.keys.round(round_id), "state") == b"open"

    def open_round(self) -> str:
        """The id of the round that is open, one aside before others; "" if there is none."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.get(self.keys.aside)
        pipeline.get(self.keys.open_round)
        aside, found = pipeline.execute()
        return (aside or found or b"").decode()

    def trace_of(self, round_id: str) -> str:
        """The trace in which a round was opened; "" for none."""
        return (self._redis.get(self.keys.round_trace(round_id)) or b"").decode(errors="replace")

    def linger(self, worker: str, until: float) -> None:
        """Announce that a search job, which has no round now, waits for the next one until `until` (Unix seconds)."""
        self._redis.zadd(self.keys.searchers, {worker: until})

    def leave(self, worker: str) -> float:
        """Take back what `linger` or a claim has announced: the search job ends. Its share of the hash-rate limit goes
        to the others. Returns until when it was announced (Unix seconds).
        """
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.zscore(self.keys.searchers, worker)
        pipeline.zrem(self.keys.searchers, worker)
        pipeline.hdel(self.keys.hash_rate, f"worker:{worker}")
        return float(pipeline.execute()[0] or 0)

    def _ask_for(self, pipeline: Pipeline, round_id: str) -> None:
        """Add the commands whose two replies `Round.read` takes."""
        pipeline.hmget(self.keys.round(round_id), list(ROUND_FIELDS))
        pipeline.hmget(self.keys.round_search(round_id), list(SEARCH_FIELDS))
