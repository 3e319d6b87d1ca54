"""The queues of a node's jobs: which functions may run, with which arguments, and the ids and time limits of jobs.

Anyone who can write to the broker chooses what workers run. JSON (services/jobs/json_only.py) keeps them from choosing
code, the allow-list from choosing any importable function.
"""

import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from redis import Redis
from rq import Queue as RqQueue
from rq.exceptions import DuplicateJobError, InvalidJobOperation, NoSuchJobError
from rq.executions import Execution, ExecutionRegistry
from rq.job import Job, JobStatus
from rq.worker_registration import WORKERS_BY_QUEUE_KEY

from services.jobs import totals as job_totals
from services.jobs.json_only import SERIALIZER
from services.jobs.screen import arguments_fit, fault_of
from services.jobs.worker_names import lives
from services.ports import QueueReport, QueueState, QueueTrouble
from services.store.keys import WORKERS
from services.system import tracing

MINING = "mining"
NETWORK = "network"

SEARCH = "worker.jobs.search.search"
HOUSEKEEPING = "worker.jobs.upkeep.housekeeping"
RESOLVE = "worker.jobs.network.resolve"
# Argument of RESOLVE where announcements asked for it.
HEARD = "heard"
ANNOUNCE = "worker.jobs.network.announce"
RELAY = "worker.jobs.network.relay"
ANSWER = "worker.jobs.network.answer"
DISCOVER = "worker.jobs.network.discover"
TEMPLATE = "worker.jobs.network.template"
# Fewest and most arguments of each.
_ARGUMENTS = {
    SEARCH: (2, 2),
    HOUSEKEEPING: (1, 1),
    RESOLVE: (1, 2),
    ANSWER: (2, 2),
    DISCOVER: (1, 1),
    ANNOUNCE: (2, 2),
    RELAY: (1, 1),
    TEMPLATE: (2, 2),
}
ALLOWED = frozenset(_ARGUMENTS)

# A search hands over to a new job after SEARCH_SECONDS, so only one that is stuck reaches its time limit.
SEARCH_SECONDS = 300
SEARCH_TIMEOUT = SEARCH_SECONDS + 60
NETWORK_TIMEOUT = 120
# The resolver itself limits the time that peers take (services/peers/resolver.py). The rest of its run, applying a long
# branch and finishing the reorganisation, takes about 50 µs a transaction and must not be cut off.
RESOLVE_TIMEOUT = 900
# Seconds that finished and failed jobs stay visible in the dashboard. RQ keeps failed ones for a year.
RESULT_TTL = 60
FAILURE_TTL = 86_400
# Network jobs that may wait at this broker, of all nodes together: this bounds the jobs that strangers cause while no
# worker runs. A job for which there is no room is enqueued again by the schedule.
MAX_WAITING = 256
# A search that waited this long is outdated; housekeeping enqueues another.
SEARCH_TTL = 600
# What RQ's key of a worker begins with; the worker's name follows.
_WORKER_KEY = b"rq:worker:"
_SUSPENDED = "rq:suspended"  # rq.suspension.WORKERS_SUSPENDED


class ForbiddenJob(Exception):
    """A job is not one of Quarry's: something else has written to the broker."""


class AllowListedJob(Job):
    """A job that runs nothing but the functions in `ALLOWED`."""

    fault = ""  # why its fields are not those of a job of ours

    def restore(self, raw_data: Any) -> None:
        """As RQ's, but whatever the fields are, the job can be failed, logged and shown in the dashboard."""
        self.fault = fault_of(raw_data)
        try:
            super().restore(_nothing(raw_data) if self.fault else raw_data)
        except NoSuchJobError:
            raise
        except Exception:
            self.fault = "One of its fields cannot be read."
            super().restore(_nothing(raw_data))
        # To RQ, -1 means for ever.
        self.timeout = _between(self.timeout, RESOLVE_TIMEOUT)
        self.result_ttl = 0 if self.result_ttl == 0 else _between(self.result_ttl, RESULT_TTL)
        self.failure_ttl = _between(self.failure_ttl, FAILURE_TTL)
        self.retries_left = self.retry_intervals = None
        # RQ imports and calls these even for a job that was refused.
        self._asks_for_more = bool(
            self._success_callback_name or self._failure_callback_name or self._stopped_callback_name or self.webhooks
        )
        self._success_callback_name = self._failure_callback_name = self._stopped_callback_name = None
        self.webhooks = []

    @property
    def execution_registry(self) -> ExecutionRegistry:
        return _Executions(self.id, connection=self.connection)

    def _remove_from_registries(self, pipeline: Any = None, remove_from_queue: bool = True) -> None:
        """As RQ's, but without an error if no registry holds the job: the broker may have been emptied while it ran."""
        with suppress(InvalidJobOperation):
            super()._remove_from_registries(pipeline, remove_from_queue)

    def perform(self) -> Any:
        self.require_allowed()
        self.require_arguments()
        waited, started, failed = self._waited(), time.perf_counter(), True
        try:
            with tracing.step((self.func_name or "").rpartition(".")[2], self._traceparent()):
                result = super().perform()
            failed = False
            return result
        finally:
            seconds = time.perf_counter() - started
            job_totals.count(self.connection, self.func_name or "", waited, seconds, failed=failed)
            tracing.flush()

    def _traceparent(self) -> str:
        """The trace in which it was enqueued; "" if there is none."""
        found = self.meta.get("traceparent", "") if isinstance(self.meta, dict) else ""
        return found if isinstance(found, str) else ""

    def _waited(self) -> float | None:
        """Seconds since it was enqueued, by the clocks of both machines; None: it does not say when that was."""
        if self.enqueued_at is None:
            return None
        since = self.enqueued_at
        return max(0.0, time.time() - (since if since.tzinfo else since.replace(tzinfo=UTC)).timestamp())

    def require_allowed(self) -> None:
        """Refuse a job that has a function off the list, an instance, callbacks or webhooks.

        Raises:
            ForbiddenJob: the message repeats nothing of the job, which may be an intruder's text.
        """
        if self.fault:
            raise ForbiddenJob(self.fault)
        if self.func_name not in ALLOWED or self.instance is not None or getattr(self, "_asks_for_more", False):
            raise ForbiddenJob("This job's function is not on the list of Quarry's jobs.")

    def require_arguments(self) -> None:
        """Refuse arguments that this function does not take.

        Raises:
            ForbiddenJob: the message repeats nothing of the job.
        """
        if not arguments_fit(self.args, self.kwargs, *_ARGUMENTS[self.func_name or ""]):
            raise ForbiddenJob("This job's arguments are not those of its function.")


class _Executions(ExecutionRegistry):
    """A job's executions, including those whose records have expired, or were recreated in part by a heartbeat.

    A record expires when the broker does not answer for three heartbeats. RQ cannot end a job without its records.
    """

    def get_executions(self, start: int = 0, end: int = -1) -> list[Execution]:
        executions = [Execution(name, self.job_id, self.connection) for name in self.get_execution_ids(start, end)]
        for execution in executions:
            with suppress(ValueError, KeyError):  # its name is enough to remove it
                execution.refresh()  # type: ignore[no-untyped-call] # RQ leaves it untyped
        return executions


def _nothing(raw_data: Any) -> Any:
    """Fields of a job that calls nothing, in place of fields that cannot be used."""
    return {b"data": b'["", null, [], {}]', b"status": raw_data.get(b"status") if _is_status(raw_data) else b"queued"}


def _is_status(raw_data: Any) -> bool:
    return raw_data.get(b"status") in {status.value.encode() for status in JobStatus}


def _between(seconds: Any, most: int) -> int:
    """`seconds`, if they are from 1 to `most`; else `most`."""
    return seconds if isinstance(seconds, int) and 0 < seconds <= most else most


class RqJobs:
    """The queue port over RQ."""

    def __init__(self, broker: Redis) -> None:
        self.broker = broker
        self._mining = queue(MINING, broker)
        self._network = queue(NETWORK, broker)

    def enqueue_search(self, node: str, round_id: str, height: int | None, copies: int) -> None:
        where = "" if height is None else f" height {height}"
        for _ in range(copies):
            self._mining.enqueue_call(
                SEARCH,
                args=(node, round_id),
                timeout=SEARCH_TIMEOUT,
                ttl=SEARCH_TTL,
                result_ttl=RESULT_TTL,
                failure_ttl=FAILURE_TTL,
                description=f"search round {round_id[:8]}{where} for {node}",
            )

    def enqueue_network(self, function: str, node: str, job_id: str, *args: str) -> bool:
        name = function.rpartition(".")[2]
        if self._network.count >= MAX_WAITING:
            return False
        # These share a job id. Without a result, it is free again as soon as the job ends.
        shared = (function == RESOLVE and args == (HEARD,)) or function == TEMPLATE
        try:
            self._network.enqueue(
                function,
                node,
                *args,
                job_id=job_id,
                unique=True,
                job_timeout=RESOLVE_TIMEOUT if function in (RESOLVE, ANSWER) else NETWORK_TIMEOUT,
                ttl=RESULT_TTL,
                result_ttl=0 if shared else RESULT_TTL,
                failure_ttl=FAILURE_TTL,
                description=f"{name} for {node}",
                at_front=function in (ANSWER, TEMPLATE),  # somebody waits for it
                meta={"traceparent": traceparent} if (traceparent := tracing.current()) else None,
            )
        except DuplicateJobError:
            return False
        return True

    def mining_workers(self) -> int:
        return self._workers(self._mining)

    def network_workers(self) -> int:
        return self._workers(self._network)

    def _workers(self, one: RqQueue) -> int:
        return len(self._alive(one)[0])

    def trouble(self) -> QueueTrouble:
        return QueueTrouble(bool(self.broker.exists(_SUSPENDED)), len(self._alive(self._mining, self._network)[1]))

    def _alive(self, *queues: RqQueue) -> tuple[set[bytes], set[bytes]]:
        """The names of the workers on some queues: Quarry's that live, and those of others.

        Quarry's are in its table of names, with the time until which the broker keeps the name. RQ knows a worker that
        was killed for up to 80 s, and for longer where the broker was away; by the table it is gone after 15 s.
        """
        pipeline: Any = self.broker.pipeline(transaction=False)
        pipeline.time()
        pipeline.hgetall(WORKERS)
        for one in queues:
            pipeline.smembers(WORKERS_BY_QUEUE_KEY % one.name)
        (now, _), known, *keys = pipeline.execute()
        names = {key.removeprefix(_WORKER_KEY) for members in keys for key in members}
        return {name for name in names & known.keys() if lives(known[name], now)}, names - known.keys()

    def _oldest(self, one: RqQueue) -> datetime | None:
        """When the oldest job of a queue was enqueued; None if there is none, or it cannot be read."""
        try:
            ids = one.get_job_ids(0, 1)
            first = AllowListedJob.fetch_many(ids, self.broker, serializer=one.serializer)[0] if ids else None
        except (ValueError, TypeError, NoSuchJobError):  # an id without a job
            return None
        return first.enqueued_at if first is not None else None

    def report(self) -> QueueReport:
        states = []
        seconds, microseconds = self.broker.time()
        now = datetime.fromtimestamp(seconds + microseconds / 1e6, UTC)
        for one, workers in ((self._mining, self.mining_workers()), (self._network, self.network_workers())):
            since = self._oldest(one)
            age = (now - since).total_seconds() if since is not None else 0.0
            states.append(QueueState(one.name, one.count, max(age, 0.0), workers))
        return QueueReport(tuple(states), job_totals.read(self.broker))


def queue(name: str, broker: Redis) -> RqQueue:
    """The queue MINING or NETWORK."""
    return RqQueue(name, connection=broker, serializer=SERIALIZER, job_class=AllowListedJob)
