"""The ticker process: enqueues the scheduled jobs, and runs the housekeeper, the pacemaker and the desk.

Several tickers may run for one node: each job and each housekeeping is done once per time slot.
"""

import signal
import threading
from typing import Any

import structlog

from services import registry
from services.attending import attend
from services.clocks import ClockBoard
from services.connections.failures import fields
from services.connections.servers import RedisError, as_store, connect_for_jobs, connect_for_requests, require_mendable
from services.jobs.queues import DISCOVER, RESOLVE, RqJobs
from services.launch.ending import FORLORN_SECONDS, end_after
from services.node import build_node
from services.peers.claims import DISCOVERY_SECONDS
from services.ports import Clock, Queue, SystemClock
from services.settings.table import Settings
from services.store.blocks import BlockReader
from services.store.keys import Keys
from services.system import logs, tracing
from worker.housekeeper import start_housekeeper
from worker.pacemaker import start_pacemaker

_log = structlog.get_logger(__name__)

_TICK_SECONDS = 1.0


class Ticker:
    """The schedule of one node."""

    def __init__(self, settings: Settings, queue: Queue, clock: Clock) -> None:
        self._settings = settings
        self._queue = queue
        self._clock = clock
        # Discovery asks peers that have answered the resolver, so it comes second where both are due.
        self._schedule = [(RESOLVE, settings.resolve_seconds), (DISCOVER, DISCOVERY_SECONDS)]

    def tick(self) -> int:
        """Enqueue the jobs that are due; how many were new. The id of a job has its slot's number: one job a slot."""
        node, now = self._settings.node, self._clock.now()
        new = 0
        for function, seconds in self._schedule:
            name = function.rpartition(".")[2]
            new += self._queue.enqueue_network(function, node, f"{name}-{node}-{int(now // seconds)}")
        return new


def run_ticker(settings: Settings) -> None:
    """Tick until told to stop. Nothing is enqueued before the node's chain has begun.

    Raises:
        BadSettings: the broker cannot be used, and waiting will not change that.
    """
    logs.begin(settings)
    tracing.begin(settings, "ticker")
    require_mendable(settings.broker_url, "QUARRY_BROKER_URL or QUARRY_REDIS_URL")
    stop = threading.Event()

    def end(*_: Any) -> None:
        stop.set()
        end_after(FORLORN_SECONDS)  # one script enqueues a job, so nothing is left half done

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    # These connections do not retry: the next tick is a second away.
    broker = connect_for_requests(settings.broker_url)
    store = broker if settings.redis_url == settings.broker_url else connect_for_requests(settings.redis_url)
    chain = BlockReader(as_store(store), Keys(settings.node))
    ticker, begun, away = Ticker(settings, RqJobs(broker), SystemClock()), False, ""
    clocks = ClockBoard(as_store(broker), SystemClock())
    start_housekeeper(settings, stop)
    start_pacemaker(settings, stop)
    _start_desk(settings, stop)
    while not stop.is_set():
        try:
            # At every tick, since the broker may have been emptied.
            registry.register(as_store(broker), settings)
            begun = begun or chain.has_begun()
            if begun:
                ticker.tick()
            clocks.look(f"ticker of {settings.node}")
            if away:
                _log.info("broker_is_back")
            away = ""
        except RedisError as error:
            if not away:  # one line, not one at every tick
                _log.warning("broker_unavailable", **fields(error))
            away = type(error).__name__
        stop.wait(_TICK_SECONDS)


def _start_desk(settings: Settings, stop: threading.Event) -> None:
    """Seal what mining workers find, with connections of its own."""
    jobs = RqJobs(connect_for_jobs(settings.broker_url))
    attend(build_node(settings, store=as_store(connect_for_jobs(settings.redis_url)), queue=jobs), stop, leads=True)
