"""The two simulations agree: for the same draws, the statistical one builds the same tree of blocks."""

from collections.abc import Callable

import pytest

from lab.simulated.lab import SimulatedLab
from lab.simulated.tree.draws import Draw
from lab.simulated.tree.links import Links
from lab.simulated.tree.replay import replay
from lab.strategies import DoubleSpender, Honest, Majority, Selfish, SelfishLowHash
from lab.strategy import Strategy

NODES = 3
# Messages that a block takes from node to node: announcement, status, headers and blocks, and three questions.
MESSAGES = 7
LATE = 2.5  # seconds


def compare(
    seed: int, latency: float, interval: float, seconds: float, make: Callable[[], Strategy] | None
) -> tuple[int, int]:
    """Run a lab, replay its draws, and compare. Returns how many blocks were compared, and how many of them are stale.

    Args:
        latency: of each link, one way. The links of the replay delay a whole block.
        interval: seconds between two blocks of the whole network.
        make: the strategy of node 1.
    """
    with SimulatedLab(NODES, seed=seed) as lab:
        ends = [(a, b) for a in range(1, NODES + 1) for b in range(1, NODES + 1) if a != b]
        for node in lab.nodes:
            node.limit(lab.spec.difficulty / interval / NODES)
        for a, b in ends:
            lab.link(a, b).set(latency=latency)
        if make is not None:
            lab.strategy(1, make())
        lab.run_for(seconds)
        lab.mining(False)
        lab.run_for(40)
        blocks, tips = lab.blocks(), [node.tip().hash for node in lab.nodes]
        draws = [Draw(draw.time, draw.finder, draw.hash, draw.timestamp) for draw in lab.draws]
        tree = replay(
            draws,
            NODES,
            spec=lab.spec,
            links=Links(NODES, MESSAGES * latency + 0.02),
            strategies={} if make is None else {1: make()},
        )
    first = tree.blocks[0].hash
    theirs = [block.parent.hash for block in tree.blocks[1:]]
    ours = [first if block.parent == blocks[0].hash else block.parent for block in blocks[1:]]
    same = next((index for index, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1]), len(ours))
    if same < len(ours):
        # Nodes ask a peer once a second at most, and their workers have other jobs. So a block may take up to LATE
        # longer than its messages do, and only who finds one in that time may work on another parent.
        draw, least = draws[same], MESSAGES * latency
        since = [draw.time - each.time for each in draws[:same] if each.finder != draw.finder]
        assert any(least - 0.1 < seconds < least + LATE for seconds in since), (same, draw)
    else:
        assert [node.tip.hash for node in tree.nodes] == tips
    return same, same + 1 - max(block.height for block in blocks[: same + 1])


@pytest.mark.parametrize("seed", [2, 5, 6])
def test_honest_nodes_with_delays_between_them(seed: int) -> None:
    same, stale = compare(seed, 0.3, 10, 600, None)
    assert same > 10 and stale > 0


@pytest.mark.parametrize(
    ("make", "seed"),
    [(Honest, 4), (Selfish, 1), (SelfishLowHash, 1), (Majority, 1), (lambda: DoubleSpender(1), 1)],
    ids=["honest", "selfish", "selfish, low hashes only", "majority", "double spend"],
)
def test_a_miner_with_a_strategy(make: Callable[[], Strategy], seed: int) -> None:
    same, stale = compare(seed, 0.0, 20, 600, make)
    assert same > 10 and (stale > 0 or make is Honest)
