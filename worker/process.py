"""The worker process: RQ's worker with settings under which a dead worker's job is taken over within seconds."""

import os
import signal
import time
from contextlib import suppress
from types import FrameType
from typing import Any

import structlog
from redis.exceptions import RedisError
from rq import Worker
from rq.job import Job
from rq.worker_registration import REDIS_WORKER_KEYS

from services import logs, registry
from services.connections import as_store, connect_for_jobs, require_mendable
from services.errors import BadSettings, NotFound
from services.launch.processes import die_with_parent
from services.queues import MINING, AllowListedJob, RqJobs, queue
from services.registry import Unserved
from services.settings import Settings
from worker import context
from worker.claims import measure_speed
from worker.kernel import Kernel, choose

_log = structlog.get_logger(__name__)

# RQ's defaults find a dead worker after 13 minutes. See docs/operations.md.
MONITORING_SECONDS = 2
# A lost search is brought back by the node's reconciler, and each look costs Redis eleven commands.
MINING_MONITORING_SECONDS = 4
MAINTENANCE_SECONDS = 5
WORKER_TTL = 20
_REJOIN_SECONDS = 1.0


class NodeWorker(Worker):
    """An RQ worker on one queue (on several, RQ can lose a job), with fast recovery and a prompt end."""

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        """Three missed heartbeats and the job is taken for abandoned."""
        return 3 * int(self.job_monitoring_interval)

    def setup_work_horse_signals(self) -> None:
        """In the horse: SIGTERM ends the job at its next slice, and the end of the worker ends the horse."""
        super().setup_work_horse_signals()  # type: ignore[no-untyped-call] # RQ leaves it untyped
        context.current().stop_on_signal()
        if self.pid is not None:  # the worker's: RQ notes it before it forks
            die_with_parent(self.pid, signal.SIGKILL)

    def register_birth(self) -> None:
        """Be counted among the workers, and then join the rounds that are open already."""
        super().register_birth()  # type: ignore[no-untyped-call] # RQ leaves it untyped
        if self.queues[0].name == MINING:
            join_open_rounds(context.current())

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Say that this worker lives; and who it is, if somebody has emptied the broker."""
        super().heartbeat(timeout, pipeline)
        if pipeline is None and not self.connection.sismember(REDIS_WORKER_KEYS, self.key):
            self.connection.delete(self.key)  # half of it, without a birth
            super().register_birth()  # type: ignore[no-untyped-call] # RQ leaves it untyped

    def handle_work_horse_killed(self, job: Job, retpid: int, ret_val: int, rusage: Any) -> None:
        """A search that was killed: take part again. After a pause, since whatever killed it may do so again."""
        super().handle_work_horse_killed(job, retpid, ret_val, rusage)  # type: ignore[no-untyped-call] # RQ's
        if self.queues[0].name == MINING:
            time.sleep(_REJOIN_SECONDS)
            join_open_rounds(context.current())

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """Stop taking jobs, and ask the running one to end now: it can be continued by anybody."""
        horse = self.horse_pid
        if horse:
            try:
                os.kill(horse, signal.SIGTERM)
            except ProcessLookupError:
                pass
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call] # RQ leaves it untyped


def join_open_rounds(here: context.Context) -> None:
    """Enqueue one search for each node's open round: whoever opened it has called the workers that there were then."""
    broker = here.broker
    for name in registry.names(as_store(broker)):
        try:
            found = here.open_round(name)
        except (Unserved, BadSettings) as error:  # such as a URL that names a file which is not on this machine
            _log.error("node_refused", node=name, reason=str(error))
        except (NotFound, RedisError) as error:  # gone, or away for now: it will call when it is back
            _log.warning("node_unreachable", node=name, error=type(error).__name__)
        else:
            if found is not None:
                RqJobs(broker).enqueue_search(name, found["id"], int(found["height"]), 1)


def ready_kernel(preference: str) -> Kernel:
    """The kernel for a setting, compiled or loaded.

    Compiling leaves some 60 MB in a process that loading does not, so a child compiles what the cache may lack.
    """
    with suppress(ImportError):
        kernel = choose("plain" if preference == "plain" else "fast")
        if kernel.name != "plain":
            child = os.fork()
            if child == 0:
                with suppress(BaseException):  # the parent will see for itself, and say what is wrong
                    kernel.warm_up()
                os._exit(0)
            os.waitpid(child, 0)
    kernel = choose(preference)
    kernel.warm_up()
    return kernel


def run_worker(settings: Settings, queue_name: str) -> None:
    """Work on one queue until told to stop.

    Raises:
        BadSettings: the broker cannot be used, however long one waits.
    """
    logs.begin(settings)
    require_mendable(settings.broker_url, "QUARRY_BROKER_URL or QUARRY_REDIS_URL")
    broker = connect_for_jobs(settings.broker_url)
    if queue_name == MINING:
        kernel = ready_kernel(settings.kernel)
        speed = measure_speed(kernel)
        _log.info("kernel_ready", kernel=kernel.name, note=kernel.note, hashes_per_second=round(speed))
        # Most workers are told nothing but a broker; one that is told a chain spec means it.
        one_spec = bool(os.environ.get("QUARRY_SPEC"))
        context.install(context.Context(settings, broker, kernel, speed, one_spec))
    else:
        context.install(context.Context(settings, broker))
    worker = NodeWorker(
        [queue(queue_name, broker)],
        connection=broker,
        serializer="json",
        job_class=AllowListedJob,
        job_monitoring_interval=MINING_MONITORING_SECONDS if queue_name == MINING else MONITORING_SECONDS,
        maintenance_interval=MAINTENANCE_SECONDS,
        worker_ttl=WORKER_TTL,
        log_job_description=False,
    )
    worker.work(with_scheduler=False, logging_level="WARNING")  # our own lines say what the jobs did
