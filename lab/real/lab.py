"""A lab of real nodes on this machine."""

from __future__ import annotations

import contextlib
import os
import random
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from lab.blocktree import BlockTree
from lab.interface import Claims, LabBlock, LabError, Link, NotReached, World
from lab.real.claimant import Claimant
from lab.real.front import Front
from lab.real.hands import Hands
from lab.real.node import HOST, RealNode
from lab.real.refusals import Refusals
from lab.real.router import Router
from lab.real.warden import Warden
from lab.real.wiring import Wiring
from lab.recording import Recorder
from lab.strategy import Strategy
from services.launch.node_files import node_files, write_private
from services.launch.node_plan import NodePlan
from services.launch.nursery import nursery_of_nodes
from services.launch.state import to_toml
from services.settings.table import BUILT_IN_SPECS, load_spec
from services.system.interrupts import interrupts_ignored
from services.system.programs import scrub_environment
from shared.chain_spec import ChainSpec
from shared.errors import NodeError

_POLL = 0.05  # seconds between two looks at a condition
NODES_PER_CORE = 8
# Hashes per second of all nodes together, until a scenario limits them: without a limit, blocks of the spec `lab` would
# come faster than news of them.
NETWORK_HASH_RATE = 2_000_000
# One API process is enough for one lab, and a test network needs no second copy of its code in memory.
_SETTINGS = {"QUARRY_API_PROCESSES": "1", "QUARRY_API_THREADS": "32"}


class RealLab(Claims):
    """Nodes as processes, a router between them.

    Args:
        nodes: how many.
        seed: for the scenario's own draws and the router's jitter; real proof of work has no seed.
        directory: for keys, chains and logs. None: a temporary one, which is removed at the end.
        doors: nodes have WebSockets for wallets and tools too (`quarry rpc`), which take 15 MB each.

    Raises:
        LabError: so many nodes do not fit on this machine, or one did not start; nothing is left running.
    """

    world: World = "real"

    def __init__(
        self,
        nodes: int,
        spec: ChainSpec,
        seed: int,
        recorder: Recorder,
        directory: Path | None = None,
        *,
        doors: bool = False,
    ) -> None:
        require_room(nodes)
        self.seed = seed
        self.spec = spec
        self.random = random.Random(seed)
        self._doors = doors
        super().__init__()
        self._began = time.monotonic()
        self._stack = contextlib.ExitStack()
        self._recorder = recorder
        self._tree = BlockTree(recorder, lambda: self.now)
        self._finders: dict[str, int] = {}
        self._liars = 0
        self._fronts: dict[int, Front] = {}
        self._changing = threading.Lock()  # strategies
        try:
            self._start(nodes, directory)
        except NodeError as error:
            self.close()
            raise LabError(f"The lab does not start: {error}") from None
        except BaseException:
            self.close()
            raise

    def _start(self, nodes: int, directory: Path | None) -> None:
        scrub_environment()
        self._warden = Warden()
        self._stack.callback(self._warden.close)
        self._nursery = nursery_of_nodes()  # it imports while we go on
        self._stack.callback(self._nursery.close)
        if directory is None:
            directory = Path(tempfile.mkdtemp(prefix="quarry-lab-"))
            self._warden.directory(directory)
        self._hands = Hands()
        self._stack.callback(self._hands.end)
        self._router = Router(seed=self.seed)
        self._stack.callback(self._router.stop)
        self._router.start()
        self._nodes = [
            RealNode(number, self._plan(number, directory), self._tree, self._hands, self._finders.get, self._nursery)
            for number in range(1, nodes + 1)
        ]
        self._stack.callback(self._hands.do, self._stop_all)
        self._stack.callback(self._end_fronts)
        self._hands.do(self._start_all)
        self._wiring = Wiring(self._router, nodes, self._tree.note)
        self._refusals = Refusals(self._running, self._tree, self._finders.get)
        self._hands.tick(self._tick)
        for node in self._nodes:
            node.limit(NETWORK_HASH_RATE / nodes)
            node.follow()
        self._refusals.start()
        self._stack.callback(self._refusals.stop)

    def _plan(self, number: int, directory: Path) -> NodePlan:
        spec = self.spec.name
        if spec not in BUILT_IN_SPECS or load_spec(spec) != self.spec:
            spec = str(directory / "spec.toml")
            write_private(Path(spec), to_toml(self.spec))
        return NodePlan(
            name=f"node{number}",
            files=node_files(directory, self.spec.name, f"node{number}"),
            spec=spec,
            port=0,
            rpc_port=0,
            door=self._doors,
            automine=False,
            settings=_SETTINGS,
        )

    def _start_all(self) -> None:
        running = [node.running for node in self._nodes]
        for node in self._nodes:
            node.running.allocate()
            self._finders[node.wallet] = node.number
            node.keep_place(self._router.add(node.number, HOST, node.running.port))
        for node in self._nodes:
            node.others = [other.running.url for other in self._nodes if other is not node]
            node.running.start(node.others)
            node.watched_by(self._warden)
        for each in running:
            each.wait_for_api()
        for each in running:
            each.begin()
        now = time.time()
        for each in running:
            each.wait(now)

    def _tick(self) -> None:
        self._warden.look()
        for node in self._nodes:
            if node.state == "running":
                node.tick()

    def _stop_all(self) -> None:
        self._hands.rest()  # else a look finds that a Valkey has ended, and starts it again
        for node in self._nodes:
            node.running.tell()
        for node in self._nodes:
            node.running.stop()

    # --- the interface ---

    @property
    def nodes(self) -> Sequence[RealNode]:
        return self._nodes

    @property
    def now(self) -> float:
        return time.monotonic() - self._began

    def node(self, number: int) -> RealNode:
        if not 1 <= number <= len(self._nodes):
            raise LabError(f"There is no node {number}: the lab has {len(self._nodes)}.")
        return self._nodes[number - 1]

    def link(self, a: int, b: int) -> Link:
        self.node(a), self.node(b)
        if a == b:
            raise LabError(f"Node {a} has no link to itself.")
        return self._wiring.link(a, b)

    def partition(self, *groups: Sequence[int]) -> None:
        self._wiring.partition(groups)

    def heal(self) -> None:
        self._wiring.heal()

    def strategy(self, number: int, strategy: Strategy | None) -> None:
        node = self.node(number)
        with self._changing:
            if number in self._fronts:
                self._fronts.pop(number).end()
            if strategy is not None:
                failed = partial(self._strategy_failed, number)
                front = Front(node, self._nodes, strategy, self._tree, self._router, self.spec, failed)
                self._fronts[number] = front
                front.start()
            self._tree.note("strategy", node=number, name=None if strategy is None else str(strategy.name))

    def _strategy_failed(self, number: int, sentence: str) -> None:
        """Report a strategy; its node is honest from now on."""
        self.say(sentence)
        self._tree.note("strategy", node=number, name=None)
        self.check(f"the strategy of node {number} does what a strategy can do", False)

    def _end_fronts(self) -> None:
        with self._changing:
            while self._fronts:
                self._fronts.popitem()[1].close()

    def lie(self, claimed_blocks: int = 1000) -> None:
        if claimed_blocks < 1:
            raise LabError(f"A liar claims at least one block more, not {claimed_blocks}.")
        running = self._running()
        if not running:
            raise LabError("No node runs to which anybody could lie.")
        best = max(running, key=lambda node: node.tip().chainwork)
        liar = Claimant(best.client(), self.spec, claimed_blocks, self._liars)
        liar.start()
        self._stack.callback(liar.stop)
        self._refusals.liar(liar.url, liar.first)
        self._router.add(len(self._nodes) + 1 + self._liars, HOST, liar.port)
        self._liars += 1
        for node in running:
            node.meet(liar.url)
        self.say(f"A peer at {liar.url} claims {claimed_blocks:,} blocks more than the best chain has.")

    def end_with_lab(self, pid: int) -> None:
        """Have another process end with the lab, in whatever way that ends."""
        self._warden.process(pid)

    def _running(self) -> list[RealNode]:
        return [node for node in self._nodes if node.state == "running"]

    def mining(self, on: bool) -> None:
        for node in self._nodes:
            node.mine_always(on)

    def blocks(self) -> Sequence[LabBlock]:
        return self._tree.blocks()

    def propagation(self) -> float | None:
        return self._tree.propagation()

    def wait(self, condition: Callable[[], bool], within: float, until: str = "the condition holds") -> None:
        deadline = time.monotonic() + within
        while not condition():
            if time.monotonic() > deadline:
                raise NotReached(f"After {within:g} s it is not so that {until}.")
            self.run_for(_POLL)

    def run_for(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, _POLL))
            self._recorder.require_written()

    def say(self, text: str) -> None:
        self._tree.note("said", text=str(text))

    def close(self) -> None:
        with interrupts_ignored():  # else nodes that are just being started stay
            self._stack.close()


def require_room(nodes: int) -> None:
    """Raises `LabError`: more nodes than this machine's cores can start and keep apart."""
    cores = os.cpu_count() or 1
    most = cores * NODES_PER_CORE
    if nodes > most:
        raise LabError(
            f"{nodes} real nodes do not fit on {cores} cores: up to {most} do. "
            "Simulated ones need no cores: quarry lab simulate."
        )
