"""The network of a simulated lab: wires with conditions, nodes that mine all the time, and what is recorded of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lab.interface import LabBlock
from lab.recording import Recorder
from lab.simulated.branches import above, fork_of
from lab.simulated.checker import State
from lab.simulated.draws import Draw
from lab.simulated.front import Front
from lab.simulated.links import HEAD, Wire, Wires
from lab.simulated.memory import MemoryRedis
from lab.simulated.mining_node import MiningNode
from lab.simulated.network import Network
from lab.simulated.node import url_of
from lab.simulated.plan import Faults, Plan
from lab.wallets import wallet_key
from services.errors import PeerFailed
from services.peers.http import PeerRequest
from services.peers.patience import LEAST_RATE, PATIENCE
from shared.block import Header
from shared.chain_spec import ChainSpec

# Hashes per second of all nodes together, unless a scenario limits them.
NETWORK_HASH_RATE = 2_000_000.0
# Hashes that are really made for a block at the spec's first difficulty.
_REAL_HASHES = 16
TICK = 1.0


@dataclass(frozen=True, slots=True)
class Found:
    """Who found a block, and when: virtual seconds. The finder is None for a stranger's block."""

    finder: int | None
    at: float


class LabNetwork(Network):
    """Nodes numbered from 1. Times in events are virtual seconds since the beginning.

    It is made inside `easy_hashes(ease_of(spec))`.
    """

    short_pages = False

    def __init__(self, nodes: int, seed: int, spec: ChainSpec, recorder: Recorder) -> None:
        super().__init__(_plan(nodes, seed, spec))
        self.ease = ease_of(spec)
        self.miners = [wallet_key(index + 1).address for index in range(nodes)]
        self.recorder = recorder
        self.mining = True
        self.wires = Wires(nodes, self._wire_changed)
        self.fronts: dict[int, Front] = {}
        self.liars: dict[str, LabBlock] = {}  # URL -> the first block of the branch that it claims
        self.spread, self.spreads = 0.0, 0  # seconds that blocks took to other nodes, and how often
        self._described: dict[str, LabBlock] = {}
        self._refused: set[str] = set()
        self.strategy_failed: Callable[[int, str], None] = _raise
        self.draws: list[Draw] = []
        self.found: dict[str, Found] = {}
        self.members: list[MiningNode] = []
        self.known: dict[str, State] = {}  # by hash, in the order in which they were first stored
        self.listed: list[LabBlock] = []  # the same blocks, as scenarios see them
        for index in range(nodes):
            peers = tuple(url_of(other) for other in range(nodes) if other != index)
            member = MiningNode(self, index, MemoryRedis(), peers, NETWORK_HASH_RATE / nodes)
            self.members.append(member)
            self.nodes.append(member)
        self.by_url = {node.url: node for node in self.nodes}
        self._numbers = {node.url: node.number for node in self.members}

    def begin(self) -> None:
        """Start all nodes."""
        for member in self.members:
            member.begin()
            member.begin_mining()
            self.every(TICK, member.tick, self.random.uniform(0.0, TICK))

    def delay(self) -> float:
        return self.random.expovariate(200.0)

    def note(self, kind: str, **fields: Any) -> None:
        """Record an event."""
        self.recorder.note(self.scheduler.now, kind, **fields)

    # --- what nodes send each other ---

    def exchange(self, number: int, request: PeerRequest) -> tuple[int, bytes]:
        """The answer to a request of a node. Its front, if it has one, answers first.

        Raises:
            PeerFailed: the connection is refused or cut, or the answer does not come in time.
        """
        front = self.fronts.get(number)
        own = front.answer_own(request) if front is not None else None
        if own is not None:
            return own
        return self.carry(number, request)

    def carry(self, number: int, request: PeerRequest) -> tuple[int, bytes]:
        """As `exchange`, past the node's own front."""
        to = self._numbers.get(request.url, 0)
        there, back = self.wires.get(number, to), self.wires.get(to, number)
        patience = min(request.deadline, PATIENCE + len(request.body or b"") / LEAST_RATE)
        spent = self._pass(there, len(request.path) + len(request.body or b""), patience)
        answer = self._answer(to, request)
        if answer is None:
            raise PeerFailed("The peer cannot be connected to (ConnectionRefusedError).")
        self._pass(back, len(answer[1]), min(request.deadline, patience + len(answer[1]) / LEAST_RATE) - spent)
        return answer

    def _pass(self, wire: Wire | None, size: int, patience: float) -> float:
        """Wait until a message has arrived; how long that took.

        Raises:
            PeerFailed: it does not arrive, or not in `patience` seconds.
        """
        seconds = wire.seconds(size, self.scheduler.now, self.random) if wire is not None else HEAD * 1e-5
        if wire is not None and wire.conditions.cut:
            raise PeerFailed("The peer cannot be connected to (ConnectionRefusedError).")
        self.scheduler.sleep(min(seconds, max(0.0, patience)))
        if wire is not None and wire.conditions.cut:
            raise PeerFailed("The peer did not answer as it should (ConnectionResetError).")
        if seconds > patience:
            raise PeerFailed("The peer did not finish its answer in time.")
        return seconds

    def _answer(self, to: int, request: PeerRequest) -> tuple[int, bytes] | None:
        front = self.fronts.get(to)
        if front is not None and self.members[to - 1].running:
            answer = front.answer_others(request)
            if answer is not None:
                return answer
        return self.serve(request.url, request.method, request.path, request.body)

    def _wire_changed(self, wire: Wire) -> None:
        conditions = wire.conditions
        self.note(
            "link",
            **{"from": wire.sender},
            to=wire.to,
            latency=conditions.latency,
            jitter=conditions.jitter,
            rate=conditions.rate,
            cut=conditions.cut,
        )

    # --- what nodes report ---

    def described(self, state: State) -> LabBlock:
        """A block as scenarios see it: made once, since conditions of scenarios ask after each step."""
        known = self._described.get(state.block.hash)
        if known is not None:
            return known
        block, found = state.block, self.found[state.block.hash]
        known = self._described[block.hash] = LabBlock(
            block.hash,
            str(block.header.previous_hash),
            block.index,
            state.claim.chainwork,
            found.finder,
            found.at,
            float(block.header.timestamp),
            tuple(item.id for item in block.transactions[1:]),
            sum(item.fee for item in block.transactions[1:]),
        )
        return known

    def finding(self, node: MiningNode, block_hash: str) -> None:
        """Note that a node is about to store a block that it has found."""
        self.found[block_hash] = Found(node.number, self.scheduler.now)

    def sealed(self, node: MiningNode, header: Header) -> None:
        """Note that it has stored it."""
        when = int(header.timestamp)
        self.draws.append(Draw(self.scheduler.now, node.number, header.hash, str(header.previous_hash), when))

    def heard(self, node: MiningNode, state: State) -> None:
        """Note that a node has stored a block."""
        block = state.block
        if block.hash not in self.found:
            self.found[block.hash] = Found(None, self.scheduler.now)
        if block.hash not in self.known:
            self.known[block.hash] = state
            self.listed.append(self.described(state))
            self._note_block(self.listed[-1], block.header.timestamp)
        found = self.found[block.hash]
        if found.finder not in (None, node.number):
            self.spread += self.scheduler.now - found.at
            self.spreads += 1
        self.note("heard", node=node.number, hash=block.hash)

    def refused(self, node: MiningNode, block: LabBlock, rule: str) -> None:
        """Note that a node refused the first block of a liar's branch. The block is in the recording, but not known."""
        if block.hash not in self._refused:
            self._refused.add(block.hash)
            self._note_block(block, int(block.timestamp))
        self.note("invalid", node=node.number, hash=block.hash, rule=rule)

    def _note_block(self, block: LabBlock, timestamp: object) -> None:
        self.note(
            "block",
            hash=block.hash,
            parent=block.parent,
            height=block.height,
            chainwork=str(block.chainwork),
            finder=block.finder,
            timestamp=timestamp,
            transactions=list(block.transactions),
        )

    def moved(self, node: MiningNode, before: State, after: State) -> None:
        """Note that a node has another tip."""
        fork = fork_of(before, after)
        self.note(
            "tip",
            node=node.number,
            hash=after.block.hash,
            detached=[state.block.hash for state in above(fork, before)],
            attached=[state.block.hash for state in above(fork, after)],
        )
        front = self.fronts.get(node.number)
        if front is not None:
            front.moved(after)


def _raise(number: int, sentence: str) -> None:
    raise ValueError(sentence)


def ease_of(spec: ChainSpec) -> int:
    """By how much hashes are divided so that a block is found with _REAL_HASHES attempts."""
    return max(1, spec.difficulty // _REAL_HASHES)


def _plan(nodes: int, seed: int, spec: ChainSpec) -> Plan:
    """A network without faults and load of its own, in which every node always has a round open."""
    return Plan(
        seed=seed,
        mode="safety",
        nodes=nodes,
        links=(),
        spec=spec,
        # The checks of the simulation read every block's own record, so old blocks are not packed.
        settings={"mine": "always", "resolve_seconds": 5, "pack_depth": 0},
        automine=(False,) * nodes,
        skew=(0.0,) * nodes,
        hashes_per_second=(1.0,) * nodes,
        mining_workers=1,
        network_workers=1,
        api_processes=1,
        seconds=0.0,
        transactions=0.0,
        requests=0.0,
        liars=0,
        faults=Faults(),
        drippers=0,
        flippers=0,
        impostor=False,
    )
