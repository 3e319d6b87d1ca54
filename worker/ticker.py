"""The ticker: enqueues the scheduled jobs and keeps house, once per time slot, however many tickers run."""

import signal
import threading
from typing import Any

import structlog
from redis.exceptions import RedisError

from services import logs, registry
from services.connections import as_store, connect_for_jobs
from services.ports import Clock, Queue, SystemClock
from services.queues import RESOLVE, RqJobs
from services.settings import Settings
from worker.housekeeper import start_housekeeper

_log = structlog.get_logger(__name__)

_TICK_SECONDS = 1.0


class Ticker:
    """The schedule of one node."""

    def __init__(self, settings: Settings, queue: Queue, clock: Clock) -> None:
        self._settings = settings
        self._queue = queue
        self._clock = clock
        self._schedule = [(RESOLVE, settings.resolve_seconds)]

    def tick(self) -> int:
        """Enqueue what is due; how many jobs were new. The slot's number in the job's id makes it once per slot."""
        node, now = self._settings.node, self._clock.now()
        new = 0
        for function, seconds in self._schedule:
            name = function.rpartition(".")[2]
            new += self._queue.enqueue_network(function, node, f"{name}-{node}-{int(now // seconds)}")
        return new


def run_ticker(settings: Settings) -> None:
    """Tick until told to stop."""
    logs.configure(settings.log_level, settings.log_format)
    stop = threading.Event()

    def end(*_: Any) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    broker = connect_for_jobs(settings.broker_url)
    ticker = Ticker(settings, RqJobs(broker), SystemClock())
    start_housekeeper(settings, stop)
    while not stop.is_set():
        try:
            # The broker may have been emptied meanwhile.
            registry.register(as_store(broker), settings)
            ticker.tick()
        except RedisError as error:
            _log.warning("broker_unavailable", error=type(error).__name__)
        stop.wait(_TICK_SECONDS)
