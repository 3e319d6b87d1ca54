"""Real searches in threads of the test's process: a node, and a queue that runs its search jobs."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from redis import Redis

from services.connections.servers import as_store, connect_for_jobs
from services.node import Node, build_node
from services.settings.table import Settings
from tests.support.desks import attended
from tests.support.nodes import make_settings
from tests.support.queues import RecordingQueue
from tests.support.specs import make_spec
from worker.context import Context
from worker.jobs.search import _Search
from worker.kernel.plain import PlainKernel

SPEED = 200_000.0


class Named(Context):
    """The context of one searcher in a thread. A worker process has one for itself."""

    def __init__(self, settings: Settings, broker: Redis, name: str) -> None:
        super().__init__(settings, broker, PlainKernel(), SPEED)
        self._name = name

    @property
    def worker_name(self) -> str:
        return self._name


class Searchers(RecordingQueue):
    """A queue whose search jobs run in threads of this process, as many as there are workers."""

    def __init__(self, url: str, settings: Settings, workers: int) -> None:
        super().__init__(workers)
        self._url = url
        self._settings = settings
        self._pool = ThreadPoolExecutor(workers)
        self.running: list[Context] = []
        self.errors: list[BaseException] = []
        self.found = 0
        self._lock = threading.Lock()

    def enqueue_search(self, node: str, round_id: str, height: int | None, copies: int) -> None:
        super().enqueue_search(node, round_id, height, copies)
        for _ in range(copies):
            self._pool.submit(self._run, round_id)

    def _run(self, round_id: str) -> None:
        with connect_for_jobs(self._url) as redis:
            with self._lock:
                here = Named(self._settings, redis, f"thread-{len(self.running)}")
                self.running.append(here)
            node = build_node(self._settings, store=as_store(redis), queue=self)
            try:
                found = _Search(node.searches, here, self._settings.linger).run(round_id)
                with self._lock:
                    self.found += found
            except BaseException as error:
                self.errors.append(error)

    def close(self) -> None:
        for here in self.running:
            here.stopping = True
        self._pool.shutdown(wait=True, cancel_futures=True)
        assert self.errors == []


@contextmanager
def mining(
    url: str, redis: Redis, workers: int, difficulty: int, linger: float = 0.5, **changes: object
) -> Iterator[tuple[Node, Searchers]]:
    settings = make_settings(make_spec(difficulty=difficulty), linger=linger, **changes)
    queue = Searchers(url, settings, workers)
    node = build_node(settings, store=as_store(redis), queue=queue)
    node.chain.initialise()
    with attended(url, settings, queue):
        try:
            yield node, queue
        finally:
            queue.close()
