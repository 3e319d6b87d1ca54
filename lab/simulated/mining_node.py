"""A node of a simulated lab: it mines all the time at a given hash rate, and can be stopped, killed and started."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from lab.blocktree import rule_of
from lab.interface import NodeState
from lab.simulated.checker import Checker, State
from lab.simulated.false_times import MinersRules
from lab.simulated.node import SimNode, SimProcess
from lab.simulated.ports import SimHttp
from lab.simulated.scheduler import Bell
from services.peers.http import PeerRequest
from services.store.searches import Claim, Searched
from shared import proof

if TYPE_CHECKING:
    from lab.simulated.lab_network import LabNetwork

# Seconds after which a miner looks again whether it has the newest template, as a worker does after each claim.
LOOK = 1.0
# Proofs of one claim: several times as many as are made for a block.
_CLAIM = 64
_NOTHING = Searched()
# Virtual seconds in which the jobs of a node that is stopped may end.
STOPPING = 10.0


class LabHttp(SimHttp):
    """Requests over the wires of a lab."""

    def __init__(self, network: LabNetwork, node: MiningNode) -> None:
        super().__init__(network, node)
        self._lab = network
        self._number = node.number

    def _exchange(self, request: PeerRequest) -> tuple[int, bytes]:
        return self._lab.exchange(self._number, request)


class WatchedChecker(Checker):
    """The invariants of one node, which tells the network what the node has stored."""

    def __init__(self, network: LabNetwork, node: MiningNode) -> None:
        super().__init__(node.name, node.raw, network.tree, network.honest)
        self.network = network
        self.node = node
        self._seen_through: set[str] = set()  # URLs of liars

    def heard(self, state: State) -> None:
        self.network.heard(self.node, state)

    def _check_peers(self) -> None:
        super()._check_peers()
        for url, block in self.network.liars.items():
            found = self.raw.hgetall(self.keys.peers).get(url.encode())
            peer = json.loads(found) if found is not None else {"state": "new"}
            if peer["state"] == "lying" and url not in self._seen_through:
                self._seen_through.add(url)
                self.network.refused(self.node, block, rule_of(peer["reason"]))


class MiningNode(SimNode):
    """Node `number`, from 1, of a lab."""

    def __init__(self, network: LabNetwork, index: int, raw: Any, peers: tuple[str, ...], hash_rate: float) -> None:
        self.lab = network
        self.number = index + 1
        self.hash_rate = hash_rate  # hashes per second
        self.wanted = 0  # blocks that it must find although it does not mine all the time
        self.state: NodeState = "running"
        self.bell = Bell()
        self.times = MinersRules(network.plan.spec, self._right_difficulty, self._tells_no_time)
        self.rules = self.times
        super().__init__(network, index, raw, peers)

    def _http(self) -> SimHttp:
        return LabHttp(self.lab, self)

    def _checker(self) -> Checker:
        return WatchedChecker(self.lab, self)

    # --- timestamps ---

    def _right_difficulty(self) -> float:
        """The difficulty at which blocks come at the spec's interval."""
        rates = sum(member.hash_rate for member in self.lab.members if member.mines and member.running)
        return rates * self.lab.plan.spec.block_interval

    def _tells_no_time(self, what: str) -> None:
        """The node's strategy has failed: the node is an honest one from now on."""
        self.lab.strategy_failed(self.number, f"The strategy {what}; its node is honest from now on.")
        if (front := self.lab.fronts.get(self.number)) is not None:
            front.end()

    # --- life and death ---

    @property
    def running(self) -> bool:
        return self.state == "running"

    def tick(self) -> None:
        if self.running:
            super().tick()

    def wake_desk(self, *, looks_back: bool = False) -> None:
        """Nothing: the miner of this node does the work of its desk."""

    def take_jobs(self, queue: str) -> None:
        """Give network jobs to workers. Search jobs are dropped: the miner searches without being asked."""
        if queue == "mining" or not self.running:
            self.queue.waiting[queue].clear()
        else:
            super().take_jobs(queue)

    def serve(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes] | None:
        return super().serve(method, path, body) if self.running else None

    @property
    def busy(self) -> bool:
        """Whether a job runs."""
        return any(worker.busy and worker.alive for workers in self.workers.values() for worker in workers)

    def end(self, state: NodeState) -> None:
        """All processes end now."""
        self.state = state
        self.crash()
        self.queue.flush()
        self.lab.scheduler.ring(self.bell)

    def start(self) -> None:
        """Start all processes, on what is stored."""
        self.state = "running"
        self.repair()
        self.begin_mining()

    def go_back(self, height: int) -> None:
        """Take the blocks above `height` off the chain. Their transactions return to the mempool.

        Raises:
            NodeError: the chain has just changed.
        """
        [keeper] = self.workers["keeper"]
        self.checker.goes_back = True
        try:
            with self.world.scheduler.acting_for(keeper):
                keeper.node.reorganiser.swap(keeper.node.reorganiser.begin(height), may_be_lighter=True)
        finally:
            self.checker.goes_back = False

    def knows(self, url: str, news: bytes) -> Callable[[], None]:
        """What makes the node know a peer, and hear its announcement."""

        def meet() -> None:
            [process] = self.api
            with self.world.scheduler.acting_for(process):
                process.node.peers.add(url)
            self.serve("POST", "/nodes/announce", news)

        return meet

    # --- mining ---

    def begin_mining(self) -> None:
        """Let the mining worker search until it dies."""
        [worker] = self.workers["mining"]
        self.world.scheduler.spawn(worker.name, worker, partial(self._mine, worker))

    @property
    def mines(self) -> bool:
        return self.hash_rate > 0 and (self.lab.mining or self.wanted > 0)

    def _mine(self, worker: SimProcess) -> None:
        """Find a proof after a time that is exponentially distributed, again and again.

        The law has no memory. So a time that has not ended is drawn again whenever something changes, and after LOOK.
        """
        scheduler, chance = self.world.scheduler, self.world.random
        while True:
            claim = self._guarded(partial(self._claim, worker)) if self.begun and self.mines else None
            if claim is None:
                scheduler.rest(LOOK, self.bell)
                continue
            seconds = chance.expovariate(self.hash_rate / claim.difficulty)
            if not scheduler.rest(min(seconds, LOOK), self.bell) and seconds <= LOOK:
                self._guarded(partial(self._find, worker, claim))

    def _claim(self, worker: SimProcess, searched: Searched = _NOTHING) -> Claim | None:
        """Proofs for a block on the tip. None: no block can be made now."""
        node = worker.node
        round_id = node.rounds.ensure_open()
        if round_id is None:
            return None
        claim = node.searches.claim(round_id, worker.name, _CLAIM, searched)
        if claim is not None and claim.is_old:
            node.desk.work_off()  # here one process is the whole node
            claim = node.searches.claim(round_id, worker.name, _CLAIM, _NOTHING)
        return None if claim is None or claim.is_old else claim

    def _find(self, worker: SimProcess, claim: Claim) -> None:
        """Make the block that a claim is for."""
        number: int | None = None
        taken: Claim | None = claim
        searched = Searched()
        while number is None:
            if taken is None or taken.version != claim.version:
                return  # the template was renewed
            tried = (item for item in taken.proofs if proof.accepts(taken.prefix, taken.difficulty, item))
            number = next(tried, None)
            if number is None:
                taken = self._claim(worker, Searched(taken.version, len(taken.proofs)))
            else:
                searched = Searched(taken.version, number - taken.proofs.start + 1)
        worker.node.searches.report(claim.round_id, worker.name, searched)
        block_hash = proof.proof_hash(claim.prefix, number).hex()
        self.lab.finding(self, block_hash)
        accepted = worker.node.rounds.seal(claim, number, worker.name)
        if accepted is None:
            del self.lab.found[block_hash]
            return
        self.wanted = max(0, self.wanted - 1)
        self.lab.sealed(self, accepted.block.header)

    def written(self) -> None:
        """Check the store after a command, and tell the network if the tip has moved."""
        before = self.checker.tip
        super().written()
        after = self.checker.tip
        if after is not before:
            self.lab.moved(self, before, after)
            self.world.scheduler.ring(self.bell)
