"""The two simulations agree: for the same draws, the statistical one builds the same tree of blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain

import pytest

from lab.recording import Recorder
from lab.simulated.lab import SimulatedLab
from lab.simulated.tree.draws import Draw
from lab.simulated.tree.links import Links
from lab.simulated.tree.replay import replay
from lab.strategies import Censor, DoubleSpender, FeeSniper, Honest, Majority, Selfish, SelfishLowHash, TimeLiar
from lab.strategy import Action, Strategy, TellsTime, Times, View
from services.settings.table import load_spec
from shared.chain_spec import ChainSpec, spec_from_object

NODES = 3
# Messages that a block takes from node to node: announcement, status, headers and blocks, and three questions.
MESSAGES = 7


class Listener(Honest):
    """Notes when a strategy is told of the blocks of others."""

    def __init__(self, strategy: Strategy, now: Callable[[], float]) -> None:
        self.name = strategy.name
        self.heard: list[tuple[float, str]] = []
        self._strategy = strategy
        self._now = now

    def on_found(self, view: View) -> Action:
        return self._strategy.on_found(view)

    def on_heard(self, view: View) -> Action:
        self.heard.append((self._now(), view.block.hash))
        return self._strategy.on_heard(view)


class TimeListener(Listener):
    """The same for a strategy that chooses timestamps."""

    def __init__(self, strategy: Strategy, now: Callable[[], float]) -> None:
        super().__init__(strategy, now)
        assert isinstance(strategy, TellsTime)
        self.timestamp: Callable[[Times], int] = strategy.timestamp


@dataclass(frozen=True, slots=True)
class Run:
    """A run of a lab with the nodes' own code, in which node 1 may have a strategy."""

    spec: ChainSpec
    blocks: list[tuple[str, str]]  # hash and parent, in the order in which they were found; genesis is not among them
    tips: list[str]  # of each node, at the end
    draws: list[Draw]
    heard: list[tuple[float, int, str]]  # when each node began to work on a block, or its strategy was told of it
    stale: int  # blocks that are not in the best chain

    def agrees_with(self, links: Links | None, make: Callable[[], Strategy] | None) -> bool:
        """Whether the statistical simulation builds the same tree of the same draws.

        Args:
            links: how long news takes; None: what was heard is given.
        """
        tree = replay(
            self.draws,
            NODES,
            spec=self.spec,
            links=links,
            strategies={} if make is None else {1: make()},
            heard=self.heard if links is None else None,
        )
        first = tree.blocks[0].hash
        parents = dict(self.blocks)
        theirs = {block.hash: block.parent.hash for block in tree.blocks[1:] if block.parent is not None}
        ours = {name: parent if parent in parents else first for name, parent in parents.items()}
        return theirs == ours and [node.tip.hash for node in tree.nodes] == self.tips


def run(
    seed: int,
    make: Callable[[], Strategy] | None,
    *,
    latency: float = 0.0,
    interval: float = 20.0,
    spec: ChainSpec | None = None,
    seconds: float = 600.0,
) -> Run:
    """Run a lab.

    Args:
        latency: of each link, one way.
        interval: seconds between two blocks of the whole network.
    """
    recorder = Recorder()
    with SimulatedLab(NODES, spec or load_spec("lab"), seed, recorder) as lab:
        for node in lab.nodes:
            node.limit(lab.spec.difficulty / interval / NODES)
        for a, b in ((a, b) for a in range(1, NODES + 1) for b in range(1, NODES + 1) if a != b):
            lab.link(a, b).set(latency=latency)
        strategy = None if make is None else make()
        listener = None
        if strategy is not None:
            listening = TimeListener if isinstance(strategy, TellsTime) else Listener
            listener = listening(strategy, lambda: lab.now)
        if listener is not None:
            lab.strategy(1, listener)
        lab.run_for(seconds)
        lab.mining(False)
        lab.run_for(40)
        blocks = lab.blocks()
        moves = [(event.t, event.fields) for event in recorder.events if event.kind == "tip"]
        heard = [(t, move["node"], move["hash"]) for t, move in moves if listener is None or move["node"] != 1]
        heard += [(t, 1, name) for t, name in (listener.heard if listener is not None else ())]
        known = {block.hash for block in blocks[1:]}
        return Run(
            spec=lab.spec,
            blocks=[(block.hash, block.parent) for block in blocks[1:]],
            tips=[node.tip().hash for node in lab.nodes],
            draws=[Draw(draw.time, draw.finder, draw.hash, draw.timestamp) for draw in lab.draws],
            heard=sorted(each for each in heard if each[2] in known),
            stale=len(blocks) - max(block.height for block in blocks),
        )


@pytest.mark.parametrize("seed", [2, 5, 6])
def test_honest_nodes_with_delays_between_them(seed: int) -> None:
    """Nodes ask a peer once a second at most, and their workers have other jobs: no link says when news arrives."""
    found = run(seed, None, latency=0.3, interval=10)
    assert found.stale > 0 and len(found.blocks) > 40
    assert found.agrees_with(None, None)
    assert not found.agrees_with(Links(NODES, 0.0), None), "it matters when news arrives"


@pytest.mark.parametrize(
    ("make", "seed"),
    [
        (Honest, 4),
        (Selfish, 1),
        (SelfishLowHash, 1),
        (Majority, 1),
        (lambda: DoubleSpender(1), 1),
        (lambda: DoubleSpender(1, ties=True), 2),
        (lambda: FeeSniper(0), 1),
        (lambda: Censor(lambda payment: True), 1),
    ],
    ids=["honest", "selfish", "low hashes only", "majority", "double spend", "ties too", "fee sniping", "censor"],
)
def test_a_miner_with_a_strategy(make: Callable[[], Strategy], seed: int) -> None:
    found = run(seed, make)
    assert len(found.blocks) > 15
    assert found.agrees_with(None, make)
    if make in (Selfish, Majority):
        assert found.stale > 0
        # What a strategy does matters to who finds which block in some schedules, and in others not.
        runs = chain([found], (run(other, make) for other in range(seed + 1, seed + 12)))
        assert any(not each.agrees_with(None, Honest) for each in runs), "another strategy builds another tree"


def test_a_miner_who_lies_about_time() -> None:
    """The difficulty follows the timestamps, so chainwork and fork choice follow from them too."""
    base = load_spec("lab").to_object()
    spec = spec_from_object({**base, "chain_id": base["chain_id"] + 1, "block_interval": 20})
    found = run(3, lambda: TimeLiar("as far back as allowed"), spec=spec)
    assert len(found.blocks) > 15 and found.agrees_with(None, Honest)
    late = [draw.timestamp - spec.genesis_timestamp - draw.time for draw in found.draws if draw.timestamp is not None]
    assert min(late) < -30, "node 1 lies"
