"""The same chance again: the blocks of a run, found at the same times by the same nodes with the same hashes.

The full simulation and the tree must give the same tree for the same draws, if news take the same time in both. What is
left to the tree is what each node works on, and what each strategy publishes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from lab.simulated.tree.draws import Draw, check_draws
from lab.simulated.tree.links import Links
from lab.simulated.tree.network import Network
from lab.strategy import Strategy
from shared.chain_spec import ChainSpec


def replay(
    draws: Iterable[Draw],
    nodes: int,
    *,
    spec: ChainSpec,
    links: Links | None = None,
    strategies: Mapping[int, Strategy] | None = None,
    began: float | None = None,
    script: Iterable[tuple[float, Callable[[Network], None]]] = (),
) -> Network:
    """A network after all draws, with all news arrived.

    Args:
        draws: in the order of their times.
        links: between the nodes, whose indices begin at 0; None: news take no time.
        strategies: by the nodes' numbers, from 1. They must be new objects, in the state in which the run began.
        began: Unix seconds at time 0, for timestamps.
        script: what a scenario did to the network, with the times.

    Raises:
        BadDraws: times fall, a finder or a hash is impossible.
    """
    network = Network(
        [0.0] * nodes,
        spec=spec,
        draws=check_draws(draws, nodes),
        links=links if links is not None else Links(nodes),
        strategies={number - 1: strategy for number, strategy in (strategies or {}).items()},
        began=began,
    )
    for time, call in script:
        network.at(time, call, network)
    network.run()
    return network


def draws_of(network: Network) -> list[Draw]:
    """What chance decided in a network so far."""
    return [
        Draw(block.found_at, block.finder + 1, block.hash, block.timestamp)
        for block in network.blocks
        if block.finder is not None
    ]
