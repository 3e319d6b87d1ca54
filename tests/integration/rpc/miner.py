"""A miner beside a test of JSON-RPC: a thread that seals whatever round opens, as workers do."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from services.node import Node, build_node
from tests.support.nodes import mine
from tests.support.threads import Background


class Miner(Background):
    """Mines on a node until it is stopped."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self._node = node
        self._threads = [threading.Thread(target=self._work)]

    def _work(self) -> None:
        while not self._stop.wait(0.005):
            if self._node.mining.situation().open_round:
                mine(self._node)


@contextmanager
def mining(node: Node, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """A miner on `node`, which counts as a worker there."""
    patch.setattr(type(node.queue), "mining_workers", lambda queue: 1)
    miner = Miner(node)
    miner.start()
    try:
        yield
    finally:
        miner.stop()


def another(node: Node) -> Node:
    """A second node object on the same store, as another process of the server has."""
    return build_node(node.settings, store=node.chain._redis, queue=node.queue)
