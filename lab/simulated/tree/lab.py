"""A lab whose nodes are only miners in a tree of blocks: thousands of blocks a second, for statistics.

It has the interface of every lab. Left out is what nodes do besides: no block is fetched, checked or stored, nothing is
signed, and nobody can lie about work. Payments are names, amounts and nonces. Calls of a scenario take no time, apart
from `wait`, `run_for` and `mine`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

from lab.cuts import Cuts
from lab.interface import Claims, LabBlock, LabError, LabNode, Link, NotReached, World
from lab.recording import Recorder
from lab.simulated.tree.blocks import Block
from lab.simulated.tree.miner import StrategyError
from lab.simulated.tree.network import Network
from lab.simulated.tree.tree_node import TreeLink, TreeNode
from lab.simulated.tree.watcher import RecordingWatcher
from lab.strategy import Strategy
from lab.wallets import wallet_key
from shared.chain_spec import ChainSpec

MOST_NODES = 64
# Hashes per second of all nodes together, unless a scenario limits them.
NETWORK_HASH_RATE = 2_000_000.0


class TreeLab(Claims):
    """A network of 1 to 64 nodes in virtual time. The same seed gives the same run.

    Args:
        recorder: what happens is noted there, if it is given; its caller writes `begin`, the verdicts and `end`.
    """

    world: World = "simulated"

    def __init__(self, nodes: int, spec: ChainSpec, seed: int, recorder: Recorder | None = None) -> None:
        """Raises `LabError`: another number of nodes, or a chain spec with other rules than the standard ones."""
        if not 1 <= nodes <= MOST_NODES:
            raise LabError(f"A simulated lab has 1 to {MOST_NODES} nodes, not {nodes}.")
        if spec.rules != "standard":
            raise LabError(f"The chain spec {spec.name} cannot be simulated: it has the tutorial's rules.")
        self.seed = seed
        self.spec = spec
        self.random = random.Random(f"{seed}-scenario")
        super().__init__()
        self.recorder = recorder
        share = NETWORK_HASH_RATE / nodes
        self.network = Network([share] * nodes, spec=spec, seed=seed)
        self.network.on_strategy_error = self._strategy_failed
        if recorder is not None:
            self.network.watcher = RecordingWatcher(self.network, recorder)
        self.share = share
        self.mines = True  # whether all nodes mine all the time
        self._nodes = [TreeNode(self, index, wallet_key(index + 1).address) for index in range(nodes)]
        self._described: dict[str, LabBlock] = {}
        self._listed: list[LabBlock] = []
        self._cuts = Cuts(nodes)
        self._closed = False

    # --- what it consists of ---

    @property
    def nodes(self) -> Sequence[LabNode]:
        return self._nodes

    @property
    def now(self) -> float:
        return self.network.now

    def node(self, number: int) -> LabNode:
        self._require(number)
        return self._nodes[number - 1]

    def link(self, a: int, b: int) -> Link:
        self._require(a, b)
        if a == b:
            raise LabError(f"Node {a} has no link to itself.")
        return TreeLink(self, a - 1, b - 1)

    def blocks(self) -> Sequence[LabBlock]:
        for block in self.network.blocks[len(self._listed) :]:
            self._listed.append(self.described(block))
        return self._listed

    def propagation(self) -> float | None:
        """What the links say now: nothing else delays a block here."""
        links = self.network.links
        ways = [way for node in self.network.nodes for way in links.routes(node.index)]
        return fmean([delay + jitter / 2 for delay, jitter, targets in ways for _ in targets]) if ways else None

    def described(self, block: Block) -> LabBlock:
        """A block as scenarios see it."""
        known = self._described.get(block.hash)
        if known is None:
            parent = block.parent.hash if block.parent is not None else self.spec.hash
            finder = block.finder + 1 if block.finder is not None else None
            known = LabBlock(
                block.hash,
                parent,
                block.height,
                block.claim.chainwork,
                finder,
                block.found_at,
                float(block.timestamp),
                block.payments,
                block.fees,
            )
            self._described[block.hash] = known
        return known

    def _require(self, *numbers: int) -> None:
        for number in numbers:
            if not 1 <= number <= len(self._nodes):
                raise LabError(f"There is no node {number}: this lab has the nodes 1 to {len(self._nodes)}.")

    # --- what can be done to it ---

    def partition(self, *groups: Sequence[int]) -> None:
        parts = self._cuts.part(groups)
        self._apply_cuts()
        self.note("groups", groups=parts)

    def heal(self) -> None:
        parts = self._cuts.heal()
        self._apply_cuts()
        self.note("groups", groups=parts)

    def set_cut(self, a: int, b: int, cut: bool) -> None:
        """Cut one link, by indices, or restore it: also if a partition has cut it."""
        self._cuts.change(a + 1, b + 1, cut)
        self._apply_cuts()

    def _apply_cuts(self) -> None:
        self.network.links.set_cuts(lambda a, b: self._cuts(a + 1, b + 1))
        self.network.reconnect()

    def strategy(self, number: int, strategy: Strategy | None) -> None:
        self._require(number)
        self.network.set_strategy(number - 1, strategy)
        self.note("strategy", node=number, name=None if strategy is None else strategy.name)

    def _strategy_failed(self, index: int, error: StrategyError) -> None:
        """Report a strategy that raised an exception or cannot have what it wants; its node goes on without it."""
        miner = self.network.nodes[index].miner
        name = miner.strategy.name if miner is not None else "?"
        self.network.set_strategy(index, None)
        self.say(f"The strategy {name} of node {index + 1} failed: {error}")
        self.check(f"the strategy {name} does only what a strategy can do", False)
        self.note("strategy", node=index + 1, name=None)

    def lie(self, claimed_blocks: int = 1000) -> None:
        raise LabError("Nobody can lie about work in this simulation: use the full one (--fidelity full).")

    def mining(self, on: bool) -> None:
        self.mines = on
        for node in self._nodes:
            node.apply_rate()
        self.network.weigh()

    # --- time ---

    def wait(self, condition: Callable[[], bool], within: float, until: str = "the condition holds") -> None:
        self._require_open()
        if condition():
            return
        self.network.run(until=self.now + within, stop=condition)
        if not condition():
            raise NotReached(f"After {within:g} s it was not reached that {until}.")

    def run_for(self, seconds: float) -> None:
        self._require_open()
        if not 0 <= seconds < float("inf"):
            raise LabError(f"Time cannot pass for {seconds!r} seconds.")
        self.network.run(until=self.now + seconds)

    def _require_open(self) -> None:
        if self._closed:
            raise LabError("The lab is closed.")

    # --- what is said of it ---

    def note(self, kind: str, **fields: Any) -> None:
        """Record an event, if there is a recording."""
        if self.recorder is not None:
            self.recorder.note(self.now, kind, **fields)

    def say(self, text: str) -> None:
        self.note("said", text=str(text))

    def close(self) -> None:
        self._closed = True

    def __enter__(self) -> TreeLab:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()
