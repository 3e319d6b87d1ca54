"""Mining requests and rounds in Redis. What they mean is in `services/mining/rounds.py`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from redis.exceptions import ConnectionError as RedisConnectionError

from services.errors import LedgerDiffers, TipMoved
from services.store.chain import KEEP_SECONDS
from services.store.keys import Keys
from services.store.port import Store
from services.store.rounds import ROUND_FIELDS, MiningRequest, Round, RoundWorker
from services.store.scripts import Scripts
from shared.block import Template

# Seconds for which a search job may say that it is about: the longest QUARRY_LINGER, and somewhat.
LONGEST_PROMISE = 65


@dataclass(frozen=True, slots=True)
class Claim:
    """A range of proofs that one worker took, and what it needs to search them."""

    round_id: str
    version: str  # of the template that the seal belongs to
    prefix: bytes
    difficulty: int
    proofs: range  # empty: others hold enough for now


@dataclass(frozen=True, slots=True)
class Searched:
    """What a worker reports: hashes done for one version of a round's template."""

    version: str = ""
    hashes: int = 0


@dataclass(frozen=True, slots=True)
class Situation:
    """Whether a round is open, or should be."""

    open_round: str
    requests: int
    pool_size: int
    tip: str
    held: str  # the tip on which auto-mining must not open a round again
    differs: bool = False  # the stored state is marked as wrong: no round is opened


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the stream of events."""

    id: str
    type: str
    data: str


class MiningStore:
    """The mining keys of one node."""

    def __init__(self, redis: Store, keys: Keys) -> None:
        self.redis = redis
        self.keys = keys
        self.scripts = Scripts(redis)

    def add_request(self, request_id: str, now: float, cap: int) -> bool:
        """Queue a mining request; False when too many wait.

        Raises:
            LedgerDiffers: the stored state is marked as wrong.
        """
        reply = self.scripts.run("request", [self.keys.prefix], [request_id, now, cap, KEEP_SECONDS])
        if isinstance(reply, bytes):
            raise LedgerDiffers(reply.decode())
        return bool(reply)

    def request(self, request_id: str) -> MiningRequest | None:
        return MiningRequest.read(self.redis.hgetall(self.keys.request(request_id)))

    def wait_for_answer(self, request_id: str, seconds: float) -> None:
        """Block until the request is answered, or for `seconds`, whichever is earlier."""
        key = self.keys.answer(request_id)
        # A second waiter must find the answer too, so it is put back; the list keeps its expiry.
        self.redis.blmove(key, key, seconds, src="LEFT", dest="RIGHT")

    def situation(self) -> Situation:
        open_round, requests, pool_size, tip, held, differs = self.scripts.run("next_round", [self.keys.prefix], [])
        return Situation(open_round.decode(), requests, pool_size, tip.decode(), held.decode(), bool(differs))

    def open(self, round_id: str, version: str, template: Template, transactions: int, now: float) -> tuple[str, str]:
        """Open a round (version "0"), or renew the template of the one that has `version`.

        Returns:
            id and version of the round that is open now, which may be another's.

        Raises:
            TipMoved: the template does not extend the tip any more, or the stored state is marked as wrong.
        """
        args = [
            round_id,
            version,
            template.previous_hash,
            template.index,
            template.difficulty,
            template.seal,
            json.dumps(template.fields),
            now,
            transactions,
        ]
        reply = self.scripts.run("open_round", [self.keys.prefix], args)
        if reply[0] in (b"moved", b"differs"):
            raise TipMoved("The tip moved while a template was made.")
        return reply[1].decode(), reply[2].decode()

    def claim(
        self,
        round_id: str,
        worker: str,
        wanted: int,
        searched: Searched,
        now: float,
        refresh: float,
        until: float,
        enough: int = 0,
    ) -> Claim | Literal["stale", "ended"]:
        """Report what was searched and take the next `wanted` proofs.

        Args:
            enough: take none, and be told so by an empty claim, where others hold more proofs than this many times the
                difficulty. Only for who has nothing to report. 0: take them.
        """
        args = [round_id, worker, wanted, searched.version or "0", searched.hashes, now, refresh, until, enough]
        reply = self.scripts.run("claim", [self.keys.prefix], args)
        if reply[0] == b"ended":
            return "ended"
        if reply[0] == b"stale":
            return "stale"
        _, version, prefix, difficulty, *first = reply
        proofs = range(int(first[0]), int(first[0]) + wanted) if first else range(0)
        return Claim(round_id, version.decode(), prefix, int(difficulty), proofs)

    def cancel(self, round_id: str, now: float) -> str | None:
        """Cancel a round; the state that it had before, or None if there is no such round."""
        found = self.scripts.run("cancel", [self.keys.prefix], [round_id, now, KEEP_SECONDS])
        return None if found is None else found.decode()

    def abandon(self, round_id: str, now: float, *, awaited: bool = False) -> bool:
        """End a round that nobody waits for; False when somebody does, or it has ended.

        Args:
            awaited: end it all the same; the request that it would have answered waits for another.
        """
        args = [round_id, now, KEEP_SECONDS, int(awaited)]
        return bool(self.scripts.run("abandon", [self.keys.prefix], args))

    def round(self, round_id: str) -> Round | None:
        """One round, without its template."""
        return Round.read(self.redis.hmget(self.keys.round(round_id), list(ROUND_FIELDS)))

    def open_round(self) -> Round | None:
        """The round that is open, if one is."""
        open_round = self.situation().open_round
        return self.round(open_round) if open_round else None

    def template(self, round_id: str) -> tuple[str, Template] | None:
        """Version and template of a round."""
        names = ["version", "template", "prefix", "difficulty"]
        version, text, prefix, difficulty = self.redis.hmget(self.keys.round(round_id), names)
        if version is None or text is None or prefix is None or difficulty is None:
            return None
        return version.decode(), Template(json.loads(text), prefix, int(difficulty))

    def round_workers(self, round_id: str) -> Mapping[str, RoundWorker]:
        """By name, the workers that have taken part in a round."""
        found = self.redis.hgetall(self.keys.round_workers(round_id))
        return {name.decode(): RoundWorker.read(value) for name, value in found.items()}

    def searchers(self, now: float) -> int:
        """How many search jobs are known to be searching or lingering."""
        pipeline = self.redis.pipeline(transaction=False)
        pipeline.zremrangebyscore(self.keys.searchers, "-inf", now)
        # Who says later than a search job can know has a clock that is ahead, and would be believed in when it is dead.
        pipeline.zcount(self.keys.searchers, now, now + LONGEST_PROMISE)
        return int(pipeline.execute()[1])

    def last_seal(self) -> tuple[float, int]:
        """When a round of this node was last sealed, in Unix seconds, and what its block held besides the reward."""
        at, transactions = self.redis.hmget(self.keys.tip, ["sealed_at", "sealed_transactions"])
        return float(at or 0), int(transactions or 0)

    def linger(self, worker: str, until: float) -> None:
        """Tell that a search job without a round will look at the next one until `until`."""
        self.redis.zadd(self.keys.searchers, {worker: until})

    def leave(self, worker: str) -> None:
        """Tell that a search job ends."""
        self.redis.zrem(self.keys.searchers, worker)

    def last_event(self) -> str:
        """The id of the newest event: where to wait from, taken before looking at anything else."""
        found = self.redis.xrevrange(self.keys.events, count=1)
        return found[0][0].decode() if found else "0-0"

    def watch(self) -> "Watch":
        """Notice what happens from now on. To be closed."""
        return Watch(self.redis, self.keys.events, self.last_event())

    def events_since(self, after: str, seconds: float) -> list[Event]:
        """What happened after event `after`; waits up to `seconds` for the first."""
        found = self.redis.xread({self.keys.events: after}, count=1000, block=max(1, int(seconds * 1000)))
        items = found[0][1] if found else []
        return [Event(name.decode(), fields[b"type"].decode(), fields[b"data"].decode()) for name, fields in items]

    def counters(self) -> dict[str, int]:
        found: dict[bytes, Any] = self.redis.hgetall(self.keys.counters)
        return {name.decode(): int(value) for name, value in found.items()}


class Watch:
    """Notices rounds and blocks that come and go, however often it is asked, without a command until one does.

    One XREAD stays open on a connection of its own: a search looks between two slices whether a reply has come.
    Not for use by two threads at once. `opened` is the round that was last noticed to open, if nothing followed it.
    """

    def __init__(self, redis: Store, key: str, after: str) -> None:
        """`after`: the event since when everything is to be noticed."""
        # redis-py leaves its connections untyped, and the port has no use for them.
        self._redis: Any = redis
        self._connection: Any = None
        self._key = key
        self._after = after
        self.opened = ""
        self._send()

    def wait(self, seconds: float) -> bool:
        """Whether anything has happened, waiting for it up to `seconds`; new transactions count too."""
        return bool(self._read(seconds))

    def news(self) -> bool:
        """Whether a round or the tip has changed since the last call (or may have: the connection was lost)."""
        return any(kind != b"transaction" for kind in self._read(0.0))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.disconnect()  # the XREAD is still open on it: nobody else can use it
            self._redis.connection_pool.release(self._connection)
            self._connection = None

    def _send(self) -> None:
        if self._connection is None:
            self._connection = self._redis.connection_pool.get_connection()
        self._connection.send_command("XREAD", "COUNT", 1000, "BLOCK", 0, "STREAMS", self._key, self._after)

    def _read(self, seconds: float) -> list[bytes]:
        """The types of the events that have come."""
        try:
            if self._connection is None:
                self._send()
            if not self._connection.can_read(seconds):
                return []
            reply = self._redis.parse_response(self._connection, "XREAD")
            events = [event for _, found in reply for event in found]
            self._after = events[-1][0].decode()
            self._send()
        except RedisConnectionError:
            self.close()  # opened again at the next call; meanwhile anything may have happened
            return [b"unknown"]
        for _, fields in events:
            if fields[b"type"] == b"round":
                self.opened = fields[b"data"].split()[0].decode()
            elif fields[b"type"] != b"transaction":
                self.opened = ""
        return [fields[b"type"] for _, fields in events]
