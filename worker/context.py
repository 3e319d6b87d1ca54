"""What a job finds in its process: the nodes that the worker serves, its kernel, its name, and whether to stop."""

import os
import signal
from typing import Any

from redis import Redis

from services import registry
from services.connections import as_store, connect_for_jobs
from services.node import Node, build_node
from services.queues import RqJobs
from services.settings import Settings
from worker.kernel import Kernel


class Context:
    """Built once by the worker process, before it takes jobs; horses inherit it."""

    def __init__(self, settings: Settings, broker: Redis, kernel: Kernel | None = None, speed: float = 0.0) -> None:
        """`speed`: hashes per second of the kernel, as measured at the start."""
        self.settings = settings
        self.broker = broker
        self.speed = speed
        self._kernel = kernel
        self._nodes: dict[str, Node] = {}
        self.stopping = False

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
        """
        known = self._nodes.get(name)
        if known is None:
            settings = registry.look_up(as_store(self.broker), name, self.settings)
            store = self.broker if settings.redis_url == settings.broker_url else connect_for_jobs(settings.redis_url)
            known = self._nodes[name] = build_node(settings, store=as_store(store), queue=RqJobs(self.broker))
        return known

    def stop_on_signal(self) -> None:
        """Let SIGTERM end the running job at its next slice, instead of in the middle of something."""

        def stop(*_: Any) -> None:
            self.stopping = True

        signal.signal(signal.SIGTERM, stop)


_context: Context | None = None


def install(context: Context) -> None:
    """Make `context` the one that jobs of this process find."""
    global _context
    _context = context


def current() -> Context:
    """The context of this process."""
    if _context is None:
        raise RuntimeError("no context is installed: jobs run inside a worker process")
    return _context
