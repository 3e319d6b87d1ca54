"""RQ as Quarry uses it: JSON instead of pickle, an allow-list of functions, names, ids and time limits of jobs.

Whoever can write to the broker chooses what workers run. JSON keeps them from choosing code, the allow-list keeps them
from choosing any importable function.
"""

import rq.serializers

# RQ takes pickle as default in places that no argument reaches (groups, the dashboard), so the default itself is
# changed, before anything else of RQ is imported.
rq.serializers.DefaultSerializer = rq.serializers.JSONSerializer  # type: ignore[misc, assignment] # see above
rq.serializers.PickleSerializer = rq.serializers.JSONSerializer  # type: ignore[assignment] # see above
rq.serializers.SERIALIZER_ALIASES["pickle"] = rq.serializers.JSONSerializer

import time  # noqa: E402 - after the serializer, on purpose, like all that follow
from contextlib import suppress  # noqa: E402
from datetime import UTC, datetime  # noqa: E402
from typing import Any  # noqa: E402

from redis import Redis  # noqa: E402
from rq import Queue as RqQueue  # noqa: E402
from rq.exceptions import DuplicateJobError, InvalidJobOperation, NoSuchJobError  # noqa: E402
from rq.executions import Execution, ExecutionRegistry  # noqa: E402
from rq.job import Job, JobStatus  # noqa: E402
from rq.worker_registration import get_keys  # noqa: E402

from services.jobs import totals as job_totals  # noqa: E402
from services.jobs.screen import arguments_fit, fault_of  # noqa: E402
from services.ports import QueueReport, QueueState, QueueTrouble  # noqa: E402

MINING = "mining"
NETWORK = "network"

SEARCH = "worker.jobs.search.search"
HOUSEKEEPING = "worker.jobs.upkeep.housekeeping"
RESOLVE = "worker.jobs.network.resolve"
# Its argument when it was announcements that asked for it.
HEARD = "heard"
ANNOUNCE = "worker.jobs.network.announce"
RELAY = "worker.jobs.network.relay"
ANSWER = "worker.jobs.network.answer"
DISCOVER = "worker.jobs.network.discover"
# How many arguments each takes.
_ARGUMENTS = {
    SEARCH: (2, 2),
    HOUSEKEEPING: (1, 1),
    RESOLVE: (1, 2),
    ANSWER: (2, 2),
    DISCOVER: (1, 1),
    ANNOUNCE: (2, 2),
    RELAY: (1, 1),
}
ALLOWED = frozenset(_ARGUMENTS)

# A search hands over to a fresh job after SEARCH_SECONDS, so its time limit only ever meets a stuck one.
SEARCH_SECONDS = 300
SEARCH_TIMEOUT = SEARCH_SECONDS + 60
NETWORK_TIMEOUT = 120
# What peers may take of a resolver's run is limited there (services/peers/resolver.py). Applying the blocks of a long
# branch again and finishing its reorganisation is our own work (some 50 µs a transaction), and must not be cut off.
RESOLVE_TIMEOUT = 900
# Seconds that finished and failed jobs stay visible in the dashboard. RQ keeps failed ones for a year.
RESULT_TTL = 60
FAILURE_TTL = 86_400
# Network jobs that may wait, of all nodes at this broker. Jobs are hints: one that finds no room is asked for again by
# the schedule. So what strangers cause has an end, also where no worker is left.
MAX_WAITING = 256
# A search that nobody took in this time is outdated; the reconciler asks again.
SEARCH_TTL = 600
# The name of a worker of ours ends like this: then those of others are known among RQ's without asking for each.
OURS = "-quarry"
_SUSPENDED = "rq:suspended"  # rq.suspension.WORKERS_SUSPENDED


class ForbiddenJob(Exception):
    """A job names a function that is not on Quarry's list. Somebody else writes to the broker."""


class AllowListedJob(Job):
    """A job that runs nothing but the functions in `ALLOWED`."""

    fault = ""  # why what lay under its key is no job of ours

    def restore(self, raw_data: Any) -> None:
        """As RQ's, but whatever lies under the key, this object can be handled: failed, logged, shown."""
        self.fault = fault_of(raw_data)
        try:
            super().restore(_nothing(raw_data) if self.fault else raw_data)
        except NoSuchJobError:
            raise
        except Exception:
            self.fault = "One of its fields cannot be read."
            super().restore(_nothing(raw_data))
        # -1 is for ever, to RQ.
        self.timeout = _between(self.timeout, RESOLVE_TIMEOUT)
        self.result_ttl = 0 if self.result_ttl == 0 else _between(self.result_ttl, RESULT_TTL)
        self.failure_ttl = _between(self.failure_ttl, FAILURE_TTL)
        self.retries_left = self.retry_intervals = None
        # RQ would import and call these even for a job that was refused.
        self._asks_for_more = bool(
            self._success_callback_name or self._failure_callback_name or self._stopped_callback_name or self.webhooks
        )
        self._success_callback_name = self._failure_callback_name = self._stopped_callback_name = None
        self.webhooks = []

    @property
    def execution_registry(self) -> ExecutionRegistry:
        return _Executions(self.id, connection=self.connection)

    def _remove_from_registries(self, pipeline: Any = None, remove_from_queue: bool = True) -> None:
        """RQ's; where the broker was emptied while the job ran, no registry holds it, and RQ would fail the job."""
        with suppress(InvalidJobOperation):
            super()._remove_from_registries(pipeline, remove_from_queue)

    def perform(self) -> Any:
        self.require_allowed()
        self.require_arguments()
        started, failed = time.perf_counter(), True
        try:
            result = super().perform()
            failed = False
            return result
        finally:
            job_totals.count(self.connection, self.func_name or "", time.perf_counter() - started, failed=failed)

    def require_allowed(self) -> None:
        """Refuse a job whose function, instance, callbacks or webhooks are not ours.

        Raises:
            ForbiddenJob: naming nothing, since the name is the intruder's text.
        """
        if self.fault:
            raise ForbiddenJob(self.fault)
        if self.func_name not in ALLOWED or self.instance is not None or getattr(self, "_asks_for_more", False):
            raise ForbiddenJob("This job's function is not on the list of Quarry's jobs.")

    def require_arguments(self) -> None:
        """Refuse arguments that this function does not take.

        Raises:
            ForbiddenJob: naming nothing.
        """
        if not arguments_fit(self.args, self.kwargs, *_ARGUMENTS[self.func_name or ""]):
            raise ForbiddenJob("This job's arguments are not those of its function.")


class _Executions(ExecutionRegistry):
    """A job's executions, also those whose records are gone, or are back in part by a heartbeat.

    A record expires when the store was away for as long as three heartbeats. RQ cannot end a job without it.
    """

    def get_executions(self, start: int = 0, end: int = -1) -> list[Execution]:
        executions = [Execution(name, self.job_id, self.connection) for name in self.get_execution_ids(start, end)]
        for execution in executions:
            with suppress(ValueError, KeyError):  # its name is enough to remove it
                execution.refresh()  # type: ignore[no-untyped-call] # RQ leaves it untyped
        return executions


def _nothing(raw_data: Any) -> Any:
    """The fields of a job that calls nothing, in place of fields that cannot be used."""
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
        # What was announced has one id a minute for all announcements: it is forgotten as soon as it is done.
        heard = function == RESOLVE and args == (HEARD,)
        try:
            self._network.enqueue(
                function,
                node,
                *args,
                job_id=job_id,
                unique=True,
                job_timeout=RESOLVE_TIMEOUT if function in (RESOLVE, ANSWER) else NETWORK_TIMEOUT,
                ttl=RESULT_TTL,
                result_ttl=0 if heard else RESULT_TTL,
                failure_ttl=FAILURE_TTL,
                description=f"{name} for {node}",
                at_front=function == ANSWER,  # somebody waits for it
            )
        except DuplicateJobError:
            return False
        return True

    def mining_workers(self) -> int:
        return self._workers(self._mining)

    def network_workers(self) -> int:
        return self._workers(self._network)

    def _workers(self, one: RqQueue) -> int:
        return sum(name.endswith(OURS) for name in get_keys(one))

    def trouble(self) -> QueueTrouble:
        names = get_keys(self._mining) | get_keys(self._network)
        strangers = sum(not name.endswith(OURS) for name in names)
        return QueueTrouble(bool(self.broker.exists(_SUSPENDED)), strangers)

    def _oldest(self, one: RqQueue) -> datetime | None:
        """When the oldest job of a queue was put there; None if there is none, or one that nobody can read."""
        try:
            ids = one.get_job_ids(0, 1)
            first = AllowListedJob.fetch_many(ids, self.broker, serializer=one.serializer)[0] if ids else None
        except (ValueError, TypeError, NoSuchJobError):  # an id that no job has
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
    """One of the two queues."""
    return RqQueue(name, connection=broker, serializer="json", job_class=AllowListedJob)
