"""Mining requests, rounds and search jobs in Redis. What they mean is in services/mining/rounds.py."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.errors import LedgerDiffers, TipMoved
from services.ports import Store
from services.store.chain import KEEP_SECONDS
from services.store.keys import Keys
from services.store.rounds import MiningRequest, Round, RoundWorker
from services.store.searches import SearchStore
from shared.block import Template

# Seconds.
TRACE_SECONDS = 3600  # for which the trace of a round is kept
LONGEST_PROMISE = 65  # for which a search job may announce itself: the longest QUARRY_LINGER and 5 s


@dataclass(frozen=True, slots=True)
class Situation:
    """Whether a round is open, or should be."""

    open_round: str  # its id, or ""
    requests: int  # that wait
    pool_size: int  # transactions in the mempool
    tip: str  # hash
    held: str  # the tip on which auto-mining must not open a round again
    differs: bool = False  # the stored state is marked as wrong: no round is opened
    automine: bool | None = None  # as a control method has set it; None: as the settings say
    arrivals: str = "0"  # how many transactions the mempool has admitted so far
    aside: str = ""  # round that is open for a block of another branch, or ""
    restored: str = "0"  # how often the mempool was changed by going back
    restoring: bool = False  # the mempool is being made that of a snapshot: no template is made of it


class MiningStore(SearchStore):
    """Requests, rounds and search jobs of one node. `SearchStore` is what its mining workers use."""

    def __init__(self, redis: Store, keys: Keys) -> None:
        super().__init__(redis, keys)
        # Round and version of the last template that this process has given a round, which need not be read again.
        self._made: tuple[tuple[str, str], Template] | None = None

    def add_request(self, request_id: str, now: float, cap: int) -> bool:
        """Queue a mining request; False if `cap` of them wait already.

        Raises:
            LedgerDiffers: the stored state is marked as wrong.
        """
        reply = self._scripts.run("request", [self.keys.prefix], [request_id, now, cap])
        if isinstance(reply, bytes):
            raise LedgerDiffers(reply.decode())
        return bool(reply)

    def request(self, request_id: str) -> MiningRequest | None:
        return MiningRequest.read(self._redis.hgetall(self.keys.request(request_id)))

    def wait_for_answer(self, request_id: str, seconds: float) -> None:
        """Block until the request is answered, or for `seconds`, whichever is earlier."""
        key = self.keys.answer(request_id)
        # Moved to its own list, so that a second waiter finds the answer too; the list keeps its expiry.
        self._redis.blmove(key, key, seconds, src="LEFT", dest="RIGHT")

    def situation(self) -> Situation:
        found = self._scripts.run("next_round", [self.keys.prefix], [])
        open_round, requests, pool_size, tip, held, differs, automine, arrivals, aside, restored, restoring = found
        return Situation(
            open_round.decode(), requests, pool_size, tip.decode(), held.decode(), bool(differs),
            automine == b"1" if automine else None, arrivals.decode(), aside.decode(), restored.decode(),
            bool(restoring),
        )  # fmt: skip

    def open(
        self,
        round_id: str,
        version: str,
        template: Template,
        transactions: int,
        now: float,
        arrivals: str = "0",
        restored: str = "0",
        keeps: bool = True,
    ) -> tuple[str, str]:
        """Open a round (version "0"), or renew the template of the one that has `version`.

        Args:
            transactions: in the template, besides the reward.
            arrivals, restored: those of `Situation`, read before the template was made.
            keeps: proofs for the templates that the round had on this tip before may still seal it.

        Returns:
            id and version of the round that is open now, which may be another one.

        Raises:
            TipMoved: the template does not extend the tip, or the mempool was restored after it was begun, or the
                stored state is marked as wrong.
        """
        args = [
            round_id,
            version,
            template.previous_hash,
            template.height,
            template.difficulty,
            template.seal,
            template.text(),
            now,
            transactions,
            arrivals,
            restored,
            int(keeps),
        ]
        reply = self._scripts.run("open_round", [self.keys.prefix], args)
        if reply[0] in (b"moved", b"differs"):
            raise TipMoved("The tip moved while a template was made.")
        opened = reply[1].decode(), reply[2].decode()
        if opened == (round_id, str(int(version) + 1)):
            self._made = opened, template
        return opened

    def open_aside(self, round_id: str, template: Template, transactions: int, now: float, seconds: int) -> bool:
        """Open a round for a block that does not extend the tip. Returns False if another such round is open.

        Args:
            seconds: after which it is forgotten, if nobody ends it.
        """
        args = [
            round_id,
            template.previous_hash,
            template.height,
            template.difficulty,
            template.seal,
            json.dumps(template.fields),
            now,
            transactions,
            seconds,
        ]
        return bool(self._scripts.run("open_aside", [self.keys.prefix], args))

    def end_aside(self, round_id: str, now: float, block: str = "", worker: str = "", proof: int | None = None) -> bool:
        """End a round that was opened aside: with the proof of a block, or without. Returns whether it was open."""
        args = [round_id, now, KEEP_SECONDS, block, worker, "" if proof is None else proof]
        return bool(self._scripts.run("end_aside", [self.keys.prefix], args))

    def proof_aside(self, round_id: str) -> int | None:
        """The proof that ended a round aside; None if there is none."""
        found = self._redis.hget(self.keys.round(round_id), "proof")
        return None if found is None else int(found)

    def cancel(self, round_id: str, now: float) -> str | None:
        """Cancel a round, if it is open; the state that it had before, or None if there is no such round."""
        found = self._scripts.run("cancel", [self.keys.prefix], [round_id, now, KEEP_SECONDS])
        return None if found is None else found.decode()

    def withdraw(self, ids: Sequence[str] | None, now: float, *, holds: bool = False) -> int:
        """Cancel waiting requests, and the open round if no request is left. Returns how many requests were cancelled.

        Args:
            ids: None for every request that waits, and for the open round even if none does.
            holds: whether auto-mining must open no other round on this tip.
        """
        args = [now, KEEP_SECONDS, int(holds), *([] if ids is None else ids)]
        if ids is not None and not ids:
            return 0
        return int(self._scripts.run("withdraw", [self.keys.prefix], args))

    def abandon(self, round_id: str, now: float, *, awaited: bool = False) -> bool:
        """End a round without a block, unless a request waits for it. Returns whether it was ended.

        Args:
            awaited: end it even if a request waits; the request then waits for another round.
        """
        args = [round_id, now, KEEP_SECONDS, int(awaited)]
        return bool(self._scripts.run("abandon", [self.keys.prefix], args))

    def last_rounds(self, count: int) -> list[Round]:
        """The last rounds that have ended, at most `count`, the oldest first."""
        ids = self._redis.lrange(self.keys.rounds_ended, -count, -1)
        pipeline = self._redis.pipeline(transaction=False)
        for round_id in ids:
            self._ask_for(pipeline, round_id.decode())
        replies = pipeline.execute() if ids else []
        found = [Round.read(*pair) for pair in zip(replies[::2], replies[1::2], strict=True)]
        return [item for item in found if item is not None]

    def round_of(self, block_hash: str) -> Round | None:
        """The round of this node that sealed a block, while it is kept; None for blocks of other nodes."""
        found = self._redis.get(self.keys.round_of(block_hash))
        return None if found is None else self.round(found.decode())

    def template(self, round_id: str, wanted: str = "") -> tuple[str, Template, bool] | None:
        """Version and template of a round, and whether it is open aside; None if it has ended, or has none of the
        version `wanted`, which may be one of before on the same tip; "" for the newest."""
        version, aside = self._redis.hmget(self.keys.round(round_id), ["version", "aside"])
        if version is None:
            return None
        known = wanted or version.decode()
        made = self._made  # another thread may replace it
        if made is not None and made[0] == (round_id, known):
            counts = self._redis.hexists(self.keys.round_templates(round_id), known)
            return (known, made[1], aside is not None) if counts else None
        kept = self._redis.hget(self.keys.round_templates(round_id), known)
        if kept is None:
            return None
        head, _, text = kept.partition(b"\n")
        difficulty, _, prefix = head.partition(b" ")
        return known, Template(json.loads(text), prefix, int(difficulty)), aside is not None

    def round_workers(self, round_id: str) -> Mapping[str, RoundWorker]:
        """By name, what each worker has done for a round."""
        found = self._redis.hgetall(self.keys.round_workers(round_id))
        return {name.decode(): RoundWorker.read(value) for name, value in found.items()}

    def searchers(self, now: float) -> int:
        """How many search jobs are known to be searching or lingering."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.zremrangebyscore(self.keys.searchers, "-inf", now)
        # A time further ahead than any job may announce was written by a wrong clock. It is not counted, since it would
        # count long after the job has ended.
        pipeline.zcount(self.keys.searchers, now, now + LONGEST_PROMISE)
        return int(pipeline.execute()[1])

    def note_trace(self, round_id: str, traceparent: str) -> None:
        """Keep the trace in which a round was opened, for the workers that search it."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.set(self.keys.round_trace(round_id), traceparent, ex=TRACE_SECONDS)
        pipeline.execute()

    def last_seal(self) -> tuple[float, int]:
        """When a round of this node was last sealed (Unix seconds; 0: never), and how many transactions its block has
        besides the reward.
        """
        at, transactions = self._redis.hmget(self.keys.tip, ["sealed_at", "sealed_transactions"])
        return float(at or 0), int(transactions or 0)

    def hash_rate_limit(self) -> int | None:
        """Hashes per second that all workers of the node may do together; None: there is no limit."""
        found = self._redis.hget(self.keys.hash_rate, "limit")
        return None if found is None else int(found)

    def limit_hash_rate(self, limit: int | None) -> None:
        """Set that limit, and have the workers that search heed it now. None: there is no limit."""
        self._scripts.run("set_hash_rate", [self.keys.prefix], ["" if limit is None else limit])

    def counters(self) -> dict[str, int]:
        """Totals since the chain began, by name."""
        found: dict[bytes, Any] = self._redis.hgetall(self.keys.counters)
        return {name.decode(): int(value) for name, value in found.items()}
