"""What a job finds in its process: the nodes that the worker serves, its kernel, its name, and whether to stop."""

import os
import signal
import time
from typing import Any

from services import registry
from services.clocks import ClockBoard, CommonClock, store_time
from services.connections.servers import Redis, as_store, connect_for_jobs, connect_for_requests
from services.jobs.queues import MINING, RqJobs, queue
from services.launch.ending import JOB_SECONDS, end_after
from services.mining.policy import MiningPolicy
from services.mining.searches import Searches
from services.node import Node, build_node
from services.ports import Ports, Store, SystemClock, SystemRandomness
from services.registry import Unserved
from services.settings.table import Settings
from services.store.keys import Keys
from services.store.rounds import Round
from services.store.searches import SearchStore
from worker.kernel import Kernel


class Context:
    """What jobs need. The worker process makes it once, before it takes jobs, and its horses (the child processes that
    run jobs) inherit it.
    """

    def __init__(
        self,
        settings: Settings,
        broker: Redis,
        kernel: Kernel | None = None,
        speed: float = 0.0,
        one_spec: bool = False,
    ) -> None:
        """
        Args:
            speed: hashes per second of the kernel, as measured at the start.
            one_spec: serve only nodes that have the chain spec of `settings`; else serve any.
        """
        self.settings = settings
        self._one_spec = one_spec
        self.broker = broker
        self.speed = speed
        self._kernel = kernel
        self._nodes: dict[str, Node] = {}
        self._searches: dict[str, tuple[Searches, float]] = {}
        self.stopping = False
        self.clocks = ClockBoard(as_store(broker), SystemClock())

    @property
    def kernel(self) -> Kernel:
        if self._kernel is None:
            raise RuntimeError("this worker was started without a kernel: it does not mine")
        return self._kernel

    @property
    def worker_name(self) -> str:
        """The RQ worker's name, which RQ puts into the environment of its horses."""
        return os.environ.get("RQ_WORKER_ID", f"process-{os.getpid()}")

    def node(self, name: str) -> Node:
        """The node of that name, as it registered at the broker.

        Raises:
            NotFound: no such node has registered.
            Unserved: it runs another version of Quarry, or has another chain spec than this worker is bound to.
        """
        known = self._nodes.get(name)
        if known is None:
            settings = self._settings_of(name)
            store = self.broker if settings.redis_url == settings.broker_url else connect_for_jobs(settings.redis_url)
            known = self._nodes[name] = build_node(settings, store=as_store(store), queue=RqJobs(self.broker))
        return known

    def searches(self, name: str) -> tuple[Searches, float]:
        """The rounds of the node of that name, for its mining worker, and the seconds for which a search lingers.

        Raises:
            NotFound, Unserved: as `node`.
        """
        known = self._searches.get(name)
        if known is None:
            settings = self._settings_of(name)
            redis = self.broker if settings.redis_url == settings.broker_url else connect_for_jobs(settings.redis_url)
            store = as_store(redis)
            clock = CommonClock(SystemClock(), lambda: store_time(store))
            ports = Ports(clock, RqJobs(self.broker), SystemRandomness())
            rounds = Searches(MiningPolicy.of(settings), SearchStore(store, Keys(name)), ports)
            known = self._searches[name] = (rounds, settings.linger)
        return known

    def open_round(self, name: str) -> Round | None:
        """The open round of a node, or None. No connection stays open, since the process forks later to run jobs.

        Raises:
            NotFound, Unserved: as `node`.
            RedisError: the node's store does not answer. There is no retry.
        """
        settings = self._settings_of(name)
        if settings.redis_url == settings.broker_url:
            return _open_round(as_store(self.broker), name)
        with connect_for_requests(settings.redis_url) as store:
            return _open_round(as_store(store), name)

    def _settings_of(self, name: str) -> Settings:
        settings = registry.look_up(as_store(self.broker), name, self.settings)
        if self._one_spec and settings.spec.hash != self.settings.spec.hash:
            raise Unserved(
                f"This worker is bound to the chain spec {self.settings.spec.name} by QUARRY_SPEC, and the node {name} "
                f"has {settings.spec.name}, whose hash differs."
            )
        return settings

    def searches_waiting(self) -> int:
        """How many search jobs wait for a worker, of all nodes."""
        return queue(MINING, self.broker).count

    def hand_back(self, name: str, round_id: str, seconds: float) -> None:
        """Put a node's search job back if there is another worker, and stay away from the queue for `seconds`."""
        jobs = RqJobs(self.broker)
        if jobs.mining_workers() > 1:
            jobs.enqueue_search(name, round_id, None, 1)
        time.sleep(seconds)

    def stop_on_signal(self) -> None:
        """Make SIGTERM end the running job after its current slice, and the process after at most JOB_SECONDS."""

        def stop(*_: Any) -> None:
            self.stopping = True
            end_after(JOB_SECONDS)

        signal.signal(signal.SIGTERM, stop)


def _open_round(store: Store, name: str) -> Round | None:
    rounds = SearchStore(store, Keys(name))
    open_round = rounds.open_round()
    return rounds.round(open_round) if open_round else None


_context: Context | None = None


def install(context: Context) -> None:
    """Make `context` what `current_context` returns in this process."""
    global _context
    _context = context


def current_context() -> Context:
    """The context of this process."""
    if _context is None:
        raise RuntimeError("no context is installed: jobs run inside a worker process")
    return _context


def begun_node(name: str) -> Node | None:
    """The node of that name; None until its API has written the genesis block.

    Raises:
        NotFound, Unserved: as `Context.node`.
    """
    node = current_context().node(name)
    return node if node.chain.hash_at(1) is not None else None
