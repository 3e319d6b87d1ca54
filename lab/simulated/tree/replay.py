"""The same chance again: the blocks of a run, found at the same times by the same nodes with the same hashes.

The full simulation and the tree must give the same tree for the same draws, if news takes the same time in both. What
is left to the tree is what each node works on, and what each strategy publishes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

from lab.simulated.tree.draws import BadDraws, Draw, check_draws
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
    heard: Iterable[tuple[float, int, str]] | None = None,
) -> Network:
    """A network after all draws, with all news arrived.

    Args:
        draws: in the order of their times.
        links: between the nodes, whose indices begin at 0; None: news takes no time.
        strategies: by the nodes' numbers, from 1. They must be new objects, in the state in which the run began.
        began: Unix seconds at time 0, for timestamps.
        script: what a scenario did to the network, with the times.
        heard: when each node heard of each block: seconds, the node's number, the hash. Links then carry nothing; so a
            run can be replayed whose news takes other times than links here do.

    Raises:
        BadDraws: times fall, a finder or a hash is impossible.
    """
    checked = check_draws(draws, nodes)
    network = Network(
        [0.0] * nodes,
        spec=spec,
        draws=checked,
        links=links if links is not None else Links(nodes),
        strategies={number - 1: strategy for number, strategy in (strategies or {}).items()},
        began=began,
    )
    for time, call in script:
        network.at(time, call, network)
    if heard is not None:
        network.links.set_cuts(lambda a, b: True)
        own = {(draw.finder, draw.hash) for draw in checked}
        for time, number, hash in heard:
            if (number, hash) not in own:
                # Just after what is found at the same time.
                network.at(math.nextafter(time, math.inf), _tell, network, number - 1, hash)
    network.run()
    return network


def _tell(network: Network, index: int, hash: str) -> None:
    for block in reversed(network.blocks):
        if block.hash == hash:
            network.hear(index, block)
            return
    raise BadDraws(f"Node {index + 1} hears of {hash} before it is found.")


def draws_of(network: Network) -> list[Draw]:
    """What chance decided in a network so far."""
    return [
        Draw(block.found_at, block.finder + 1, block.hash, block.timestamp)
        for block in network.blocks
        if block.finder is not None
    ]
