"""Several nodes on one machine, started together and kept running: what `quarry up` does."""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence

from services.launch.launcher import WHY_SLOW, RunningNode
from services.launch.node_plan import NodePlan
from services.launch.nursery import Nursery, nursery_of_nodes
from services.launch.peer_router import PeerRouter


class Launch:
    """Several nodes, started together and kept running. Their programs are forked from one nursery."""

    def __init__(
        self,
        plans: Sequence[NodePlan],
        report: Callable[[str], None] = lambda step: None,
        router: PeerRouter | None = None,
    ) -> None:
        """`report` is told each step of the start, in a few words. The nodes reach each other through `router`."""
        self.router = router
        self.nodes = [RunningNode(plan, report) for plan in plans]
        self._report = report
        self._nursery: Nursery | None = None

    def start(self) -> None:
        """Start all nodes and wait until they are ready. After an error or an interrupt, none is left running.

        All APIs answer before any node asks the others, since a peer that does not answer is not asked again at once.
        """
        launched_at = time.time()
        try:
            for node in self.nodes:
                node.allocate()
            self._nursery = nursery = self._start_nursery()
            for node in self.nodes:
                node.start_program = nursery
            if self.router is not None:
                for node, proxy in zip(self.nodes, self.router.start([node.url for node in self.nodes]), strict=True):
                    node.use_proxy(proxy)
            for node in self.nodes:
                node.start([other.url for other in self.nodes if other is not node])
            if len(self.nodes) > 1:
                for node in self.nodes:
                    node.wait_for_api()
            for node in self.nodes:
                node.begin()
            for node in self.nodes:
                node.wait(launched_at)
        except BaseException:
            self.stop()
            raise

    def run(self, stop: threading.Event) -> None:
        """Keep the nodes running until `stop` is set. They still run then: call `stop()`.

        Raises:
            NodeError: all nodes were given up, since their data are damaged. The message is the last one's.
        """
        while not stop.wait(0.1):
            for node in self.nodes:
                node.tick()
            if self.router is not None:
                self.router.tick()
            lost = [node.lost for node in self.nodes if node.lost is not None]
            if len(lost) == len(self.nodes):
                raise lost[-1]

    def stop(self) -> None:
        """Stop every node, the last one first, even if an error occurs with one of them.

        All are told to end before any is waited for.
        """
        for node in reversed(self.nodes):
            node.tell()
        with contextlib.ExitStack() as stack:
            if self._nursery is not None:
                stack.callback(self._nursery.close)
            if self.router is not None:
                stack.callback(self.router.stop)
            for node in self.nodes:
                stack.callback(node.stop)

    def _start_nursery(self) -> Nursery:
        """The process from which all programs are forked. It imports what they need while we go on."""
        first = self.nodes[0]
        kernel = first.settings.kernel if first.plan.workers else "plain"
        reasons = iter([f"; {WHY_SLOW}"])  # said once

        def waits(seconds: float) -> None:
            self._report(f"loading the programs ({seconds:.0f} s){next(reasons, '')}")

        return nursery_of_nodes(kernel, waits)
