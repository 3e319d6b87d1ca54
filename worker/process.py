"""The worker process: RQ's worker with settings under which a dead worker's job is taken over within seconds."""

import os
import signal
import time
from contextlib import suppress
from dataclasses import replace
from functools import cache
from types import FrameType
from typing import Any

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from rq import Queue, Worker
from rq.exceptions import DequeueTimeout, NoSuchJobError, StopRequested
from rq.job import Job
from rq.worker_registration import REDIS_WORKER_KEYS

from services import registry
from services.connections.servers import answers, as_store, connect_for_jobs, require_mendable
from services.errors import BadSettings, NotFound
from services.jobs.queues import MINING, AllowListedJob, ForbiddenJob, RqJobs, queue
from services.jobs.worker_names import WorkerName, own_base
from services.launch.ending import end_in_time
from services.ports import SystemRandomness
from services.registry import Unserved
from services.settings.table import Settings
from services.system import logs, tracing
from services.system.loading import uncollected
from services.system.processes import die_with_parent
from shared.errors import NodeError
from shared.ethereum.encoding import rlp_library
from worker import rq_logs
from worker.claim_size import measure_speed
from worker.context import Context, current_context, install
from worker.kernel import Kernel, choose

_log = structlog.get_logger(__name__)

# RQ's defaults find a dead worker after 13 minutes. See docs/operations.md.
MONITORING_SECONDS = 2
# Each heartbeat costs Redis eleven commands. A lost search is also brought back by housekeeping, so this may be longer.
MINING_MONITORING_SECONDS = 4
MAINTENANCE_SECONDS = 5
WORKER_TTL = 20
_REJOIN_SECONDS = 1.0
# Failed jobs that are kept for the dashboard. RQ would keep all of them.
MOST_FAILED = 200
# RQ's own loop handles these; any other error would end it.
_RQ_HANDLES = (RedisConnectionError, RedisTimeoutError, StopRequested, DequeueTimeout)


class NodeWorker(Worker):
    """An RQ worker on one queue (on several queues RQ can lose a job), with fast recovery and a prompt end.

    Args:
        own_name: the table of names, from which it takes its name.
        options: those of RQ's worker.
    """

    def __init__(self, one: Queue, own_name: WorkerName, **options: Any) -> None:
        self._own_name = own_name
        super().__init__([one], name=own_name.take(), **options)

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        """After three missed heartbeats the job counts as abandoned."""
        return 3 * int(self.job_monitoring_interval)

    def setup_work_horse_signals(self) -> None:
        """In the horse: SIGTERM ends the job at its next slice, and the horse dies with its worker."""
        super().setup_work_horse_signals()  # type: ignore[no-untyped-call] # RQ leaves it untyped
        current_context().stop_on_signal()
        if self.pid is not None:  # the worker's: RQ notes it before it forks
            die_with_parent(self.pid, signal.SIGKILL)

    def register_birth(self) -> None:
        """Register as a worker, and then join the rounds that are open already."""
        super().register_birth()  # type: ignore[no-untyped-call] # RQ leaves it untyped
        if self.queues[0].name == MINING:
            join_open_rounds(current_context())

    # --- No entry of the queue may end this worker ---

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[Job, Queue] | None:
        """The next job. Entries that cannot be read as a job are taken off the queue."""
        while True:
            try:
                found = super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)
            except _RQ_HANDLES:
                raise
            except Exception as error:
                dropped = self._drop_unreadable()
                _log.error("job_unreadable", error=type(error).__name__, dropped=dropped)
                if not dropped:
                    time.sleep(_REJOIN_SECONDS)
                continue
            if found is not None:
                job, source = found
                job.origin = source.name  # or its failure would be filed under the queue that the job itself names
                if isinstance(job, AllowListedJob) and job.fault:
                    self.connection.delete(job.key)  # it may be large; RQ saves only a small part of it again
            return found

    def _drop_unreadable(self) -> int:
        """Forget the jobs that were taken off the queue but cannot be fetched; how many."""
        taken, broker = self.queues[0].intermediate_queue_key, self._raw
        dropped = 0
        for name in broker.lrange(taken, 0, -1):
            try:
                self.job_class.fetch(name.decode(), connection=self.connection, serializer=self.serializer)
            except (*_RQ_HANDLES, NoSuchJobError):
                continue
            except Exception:
                dropped += int(broker.lrem(taken, 1, name))
        return dropped

    @property
    def _raw(self) -> Any:
        """The connection, untyped: its replies are bytes."""
        return self.connection

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run a job in a horse. An error in doing so is logged and does not end the worker."""
        try:
            super().execute_job(job, queue)
        except _RQ_HANDLES:
            raise
        except Exception as error:
            _log.error("job_not_executed", job=job.id[:64], error=type(error).__name__)

    def run_maintenance_tasks(self) -> None:
        """RQ's own tasks, and a bound on the number of failed jobs."""
        try:
            super().run_maintenance_tasks()  # type: ignore[no-untyped-call] # RQ leaves it untyped
            for one in self.queues:
                self._trim_failed(one)
        except _RQ_HANDLES:
            raise
        except Exception as error:
            _log.error("maintenance_failed", error=type(error).__name__)

    def _trim_failed(self, one: Queue) -> None:
        registry_key, broker = one.failed_job_registry.key, self._raw
        surplus = broker.zcard(registry_key) - MOST_FAILED
        if surplus > 0:
            names = broker.zrange(registry_key, 0, surplus - 1)
            for name in names:
                broker.delete(b"rq:job:" + name, b"rq:results:" + name)
            broker.zrem(registry_key, *names)

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        """Log one line, without a traceback, for the errors to expect: refused jobs, unserved nodes, a lost store."""
        error = exc_info[1]
        if isinstance(error, (ForbiddenJob, NodeError, RedisError)):
            # Messages of Redis errors may be long and hold a key's name; ours are sentences.
            reason = type(error).__name__ if isinstance(error, RedisError) else str(error)
            _log.error("job_failed", job=job.id[:64], reason=reason)
            return
        super().handle_exception(job, *exc_info)

    def unsubscribe(self) -> None:
        """Stop RQ's thread without waiting for it. It ends with the process, and may be asleep for up to a minute."""
        if self.pubsub_thread:
            self.pubsub_thread.stop()

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Report that this worker lives; register again if the broker was emptied; compare clocks."""
        super().heartbeat(timeout, pipeline)
        if pipeline is None:
            self._be_known()
        current_context().clocks.look(self.name)

    def maintain_heartbeats(self, job: Job, execution: Any) -> None:
        """As RQ's, and register again if the broker was emptied: a search may take minutes."""
        super().maintain_heartbeats(job, execution)
        self._be_known()

    def register_death(self) -> None:
        """Sign off, and let another worker have the name."""
        super().register_death()  # type: ignore[no-untyped-call] # RQ leaves it untyped
        self._own_name.give_back()

    def _be_known(self) -> None:
        if not self._own_name.keep():
            # Frozen for longer than a lease, or the broker was emptied. A running job goes on under the old name.
            if not self.horse_pid:
                self._take_another_name()
        elif not self.connection.sismember(REDIS_WORKER_KEYS, self.key):
            self.connection.delete(self.key)  # a heartbeat may have written half of the record
            super().register_birth()  # type: ignore[no-untyped-call] # RQ leaves it untyped

    def _take_another_name(self) -> None:
        before, self.name = self.name, self._own_name.take()
        _log.warning("worker_renamed", before=before, worker=self.name)
        self.unsubscribe()
        super().register_birth()  # type: ignore[no-untyped-call] # RQ leaves it untyped
        self.subscribe()  # type: ignore[no-untyped-call] # to the orders for its new name

    def handle_work_horse_killed(self, job: Job, retpid: int, ret_val: int, rusage: Any) -> None:
        """Take part in open rounds again after a search was killed; after a pause, since it may be killed again."""
        super().handle_work_horse_killed(job, retpid, ret_val, rusage)  # type: ignore[no-untyped-call] # RQ's
        if self.queues[0].name == MINING and not self._stop_requested:
            time.sleep(_REJOIN_SECONDS)
            join_open_rounds(current_context())

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """Stop taking jobs, and ask the running job to end now: any worker can continue it.

        RQ signs off at the broker. If the broker is away, its retries take a minute, so the process is ended sooner.
        """
        end_in_time(lambda: answers(current_context().settings.broker_url))
        horse = self.horse_pid
        if horse:
            try:
                os.kill(horse, signal.SIGTERM)
            except ProcessLookupError:
                pass
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call] # RQ leaves it untyped


def join_open_rounds(context: Context) -> None:
    """Enqueue one search for each node's open round: it may have been opened before this worker could be called."""
    broker = context.broker
    for name in registry.names(as_store(broker)):
        try:
            found = context.open_round(name)
        except (Unserved, BadSettings) as error:  # such as a URL that names a file that this machine does not have
            _log.error("node_refused", node=name, reason=str(error))
        except (NotFound, RedisError) as error:  # gone, or not answering; its housekeeping calls workers later
            _log.warning("node_unreachable", node=name, error=type(error).__name__)
        else:
            if found is not None:
                RqJobs(broker).enqueue_search(name, found.id, found.height, 1)


@cache
def ready_kernel(preference: str) -> Kernel:
    """The kernel for a setting, compiled or loaded: one for this process and all that are forked from it.

    Compiling leaves some 60 MB in a process, and loading from the cache does not. So a child process compiles first,
    and this process loads.
    """
    with suppress(ImportError):
        kernel = choose("plain" if preference == "plain" else "fast")
        if kernel.name != "plain":
            child = os.fork()
            if child == 0:
                with suppress(BaseException):  # the parent meets the same error, and reports it
                    kernel.warm_up()
                os._exit(0)
            os.waitpid(child, 0)
    kernel = choose(preference)
    kernel.warm_up()
    return kernel


def run_worker(settings: Settings, queue_name: str) -> None:
    """Work on one queue until told to stop.

    Raises:
        BadSettings: the broker cannot be used, and waiting will not change that.
    """
    logs.begin(settings)
    tracing.begin(settings, f"worker-{queue_name}")
    rq_logs.calm()
    require_mendable(settings.broker_url, "QUARRY_BROKER_URL or QUARRY_REDIS_URL")
    broker = connect_for_jobs(settings.broker_url)
    if queue_name == MINING:
        with uncollected():
            rlp_library()  # before jobs are forked: each would import it again, for 0.15 s
        kernel = ready_kernel(settings.kernel)
        speed = measure_speed(kernel)
        _log.info("kernel_ready", kernel=kernel.name, note=kernel.note, hashes_per_second=round(speed))
        # A worker needs only the broker's URL. If it is also given a chain spec, it serves only nodes that have it.
        one_spec = bool(os.environ.get("QUARRY_SPEC"))
        keyless = replace(settings, sealer_key_file=None)  # even where its environment names one
        install(Context(keyless, broker, kernel, speed, one_spec))
    else:
        install(Context(settings, broker))
    worker = NodeWorker(
        queue(queue_name, broker),
        WorkerName(as_store(broker), own_base(queue_name, settings.worker_name), SystemRandomness().token()),
        connection=broker,
        serializer="json",
        job_class=AllowListedJob,
        job_monitoring_interval=MINING_MONITORING_SECONDS if queue_name == MINING else MONITORING_SECONDS,
        maintenance_interval=MAINTENANCE_SECONDS,
        worker_ttl=WORKER_TTL,
        log_job_description=False,
    )
    _log.info("worker_started", worker=worker.name, queue=queue_name)
    try:
        worker.work(with_scheduler=False, logging_level="WARNING")  # the jobs log what they did
    except RedisError as error:
        _log.error("broker_lost", error=type(error).__name__)
        raise SystemExit(1) from None
