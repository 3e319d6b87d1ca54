"""A lab in virtual time: the interface that scenarios see, on nodes with the product's own code.

The same seed gives the same run. Nothing happens while a scenario calculates: time passes only in `wait`, `run_for`,
and in calls that need an answer of a node.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from lab.interface import Claims, LabBlock, LabError, LabNode, Link, NotReached, World
from lab.recording import Recorder
from lab.simulated.claimant import Claimant
from lab.simulated.draws import Draw
from lab.simulated.front import Front
from lab.simulated.lab_network import LabNetwork, ease_of
from lab.simulated.node import url_of
from lab.simulated.scheduler import Killed, Process
from lab.simulated.simulated_node import SimulatedNode
from lab.simulated.surroundings import easy_hashes, surroundings
from lab.strategy import Strategy, TellsTime
from services.settings.table import load_spec
from shared.chain_spec import ChainSpec
from shared.errors import NodeError

Answer = TypeVar("Answer")

MOST_NODES = 64
# Virtual seconds in which a node answers a request, whatever its load.
_ANSWERED = 60.0


class SimulatedLab(Claims):
    """A network of nodes, all of which are peers, in virtual time.

    Args:
        spec: the chain spec, for development and with the standard rules.
        recorder: what happens is noted there; its caller writes `begin`, the verdicts and `end`. None: nowhere else.

    Raises:
        LabError: another number of nodes, or a chain spec that cannot be simulated.
    """

    world: World = "simulated"

    def __init__(
        self, nodes: int = 4, spec: ChainSpec | None = None, seed: int = 1, recorder: Recorder | None = None
    ) -> None:
        if not 1 <= nodes <= MOST_NODES:
            raise LabError(f"A simulated lab has 1 to {MOST_NODES} nodes, not {nodes}.")
        self.spec = spec or load_spec("lab")
        if self.spec.rules != "standard" or not self.spec.development:
            raise LabError(f"The chain spec {self.spec.name} cannot be simulated: it must be a development chain.")
        self.seed = seed
        self.random = random.Random(f"{seed}-scenario")
        super().__init__()
        self.recorder = recorder or Recorder()
        with easy_hashes(ease_of(self.spec)):
            self._network = LabNetwork(nodes, seed, self.spec, self.recorder)
        self._network.strategy_failed = self._strategy_failed
        self._users = Process("users")
        self._nodes = [SimulatedNode(self, self._network, member) for member in self._network.members]
        self._closed = False
        self._network.begin()
        self.advance(_ANSWERED, lambda: all(member.begun for member in self._network.members))
        genesis = self._network.tree.genesis.block.hash
        for node in self._nodes:
            self._network.note("tip", node=node.number, hash=genesis, detached=[], attached=[])

    # --- what it consists of ---

    @property
    def nodes(self) -> Sequence[LabNode]:
        return self._nodes

    @property
    def now(self) -> float:
        return self._network.scheduler.now

    @property
    def draws(self) -> Sequence[Draw]:
        """Every proof that was found so far, for a replay by the statistical simulation."""
        return tuple(self._network.draws)

    def node(self, number: int) -> LabNode:
        self._require(number)
        return self._nodes[number - 1]

    def link(self, a: int, b: int) -> Link:
        self._require(a, b)
        wire = self._network.wires.get(a, b)
        if wire is None:
            raise LabError(f"Node {a} has no link to itself.")
        return wire

    def blocks(self) -> Sequence[LabBlock]:
        return self._network.listed

    def propagation(self) -> float | None:
        network = self._network
        return network.spread / network.spreads if network.spreads else None

    def _require(self, *numbers: int) -> None:
        for number in numbers:
            if not 1 <= number <= len(self._nodes):
                raise LabError(f"There is no node {number}: this lab has the nodes 1 to {len(self._nodes)}.")

    # --- what can be done to it ---

    def partition(self, *groups: Sequence[int]) -> None:
        self._network.note("groups", groups=self._network.wires.cuts.part(groups))

    def heal(self) -> None:
        self._network.note("groups", groups=self._network.wires.cuts.heal())

    def strategy(self, number: int, strategy: Strategy | None) -> None:
        self._require(number)
        fronts = self._network.fronts
        if number in fronts:
            fronts[number].end()
        self._network.members[number - 1].times.liar = strategy if isinstance(strategy, TellsTime) else None
        if strategy is not None:
            fronts[number] = Front(self._network, self._network.members[number - 1], strategy)
        self._network.note("strategy", node=number, name=None if strategy is None else strategy.name)

    def _strategy_failed(self, number: int, sentence: str) -> None:
        """Report a strategy; its node is honest from now on."""
        self.say(sentence)
        self._network.note("strategy", node=number, name=None)
        self.check(f"the strategy of node {number} does what a strategy can do", False)

    def lie(self, claimed_blocks: int = 1000) -> None:
        if claimed_blocks < 1:
            raise LabError("A liar claims at least one block.")
        network = self._network
        number = len(network.liars)
        url = url_of(MOST_NODES + number)
        liar = Claimant(network, url, claimed_blocks, number)
        network.strangers[url] = liar
        network.liars[url] = liar.first
        for member in network.members:
            if member.running:
                self.do(f"{member.name} meets a liar", member.knows(url, liar.news()))

    def mining(self, on: bool) -> None:
        self._network.mining = on
        for member in self._network.members:
            self._network.scheduler.ring(member.bell)

    # --- time ---

    def wait(self, condition: Callable[[], bool], within: float, until: str = "the condition holds") -> None:
        if not condition() and not self.advance(within, condition):
            raise NotReached(f"After {within:g} s it was not reached that {until}.")

    def run_for(self, seconds: float) -> None:
        if not 0 <= seconds < float("inf"):
            raise LabError(f"Time cannot pass for {seconds!r} seconds.")
        self.advance(seconds, lambda: False)

    def advance(self, seconds: float, done: Callable[[], bool]) -> bool:
        """Let virtual time pass until `done()`, or for so many seconds; whether it was done.

        Raises:
            LabError: the lab is closed, or a node broke a promise: the simulation checks every write to a store.
        """
        if self._closed:
            raise LabError("The lab is closed.")
        network = self._network
        until = network.scheduler.now + seconds
        network.scheduler.after(seconds, lambda: None)  # so that time does not jump beyond it
        with surroundings(network):
            try:
                return network.until(until, done)
            except Killed:
                failure = (network.failure or "").partition("\n")[0]
                raise LabError(
                    f"A node broke a promise, which is a bug of Quarry. Please report it: {failure}"
                ) from None

    def do(self, name: str, work: Callable[[], Answer]) -> Answer:
        """Let a task of a user's do something, and wait for its end.

        Raises:
            LabError: the work did, or it takes too long.
        """
        results: list[Answer] = []
        refusals: list[LabError] = []

        def run() -> None:
            try:
                results.append(work())
            except LabError as error:
                refusals.append(error)
            except NodeError as error:
                refusals.append(LabError(str(error)))

        task = self._network.scheduler.spawn(name, self._users, run)
        if not self.advance(_ANSWERED, lambda: task.done):
            raise LabError(f"{name}: there is no answer.")
        if refusals:
            raise refusals[0]
        return results[0]

    # --- what is said of it ---

    def say(self, text: str) -> None:
        self._network.note("said", text=str(text))

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            with surroundings(self._network):
                self._network.scheduler.end()
            for member in self._network.members:
                member.close()

    def __enter__(self) -> SimulatedLab:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()
