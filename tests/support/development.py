"""A node in this process whose search jobs run at once, for what development nodes do on demand."""

from typing import Any

from redis import Redis

from services.node import Node
from services.store.searches import Searched
from tests.support.nodes import TestNode, make_settings
from tests.support.searching import claim_of
from tests.support.stored import assert_mempool_agrees, assert_store_equals_replay
from worker.kernel.plain import PlainKernel


def search(node: Node, round_id: str) -> None:
    """Take part in a round until it ends, as a worker does."""
    while (claim := claim_of(node, round_id, "worker", 1000, Searched())) is not None:
        proof = PlainKernel().scan(claim.prefix, claim.difficulty, claim.proofs.start, claim.proofs.stop)
        if proof is not None:
            node.rounds.seal(claim, proof, "worker")
    node.searches.leave("worker")


class Working(TestNode):
    """A node whose search jobs run at once, in the process that enqueues them."""

    __test__ = False

    def __init__(self, redis: Redis, **settings: Any) -> None:
        super().__init__(redis, make_settings(**({"automine": False} | settings)))
        self.searched: list[str] = []  # rounds

        def enqueue(node: str, round_id: str, height: int | None, copies: int) -> None:
            self.searched.append(round_id)
            search(self.node, round_id)

        self.queue.enqueue_search = enqueue  # type: ignore[method-assign]

    def check(self) -> None:
        """Nothing is left to do; the store is what its blocks give, and the mempool's keys agree."""
        keys = self.node.chain.keys
        assert self.redis.exists(keys.journal, keys.restoring, keys.aside) == 0
        assert_store_equals_replay(self.node, self.redis)
        assert_mempool_agrees(self.node, self.redis)
