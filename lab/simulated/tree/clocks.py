"""The timestamps of new blocks: the true time, or what a strategy claims."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.guard import TooLate, time_of
from lab.simulated.tree.miner import StrategyError
from lab.simulated.tree.nodes import Node
from lab.strategy import Times
from shared.timestamps import median_time

if TYPE_CHECKING:
    from lab.simulated.tree.network import Network


def stamp(network: Network, node: Node) -> int:
    """Unix seconds for a block that the node finds now. A strategy that asks for what the rules forbid has failed."""
    clock = int(network.began + network.now)
    liar = node.miner.clock if node.miner is not None else None
    if liar is None and not network.adjusts:
        return clock  # true times never fall, so none is below the median
    window = node.tip.window()
    earliest = median_time(window)
    honest = max(clock, earliest)
    if liar is None:
        return honest
    right = sum(each.rate for each in network.nodes) * network.spec.block_interval
    latest = max(clock + network.ahead, earliest)
    try:
        return time_of(liar, Times(window, clock, earliest, latest, right, network.spec))
    except TooLate as error:
        network.failed(node, StrategyError(f"{error} in timestamp"))
    except Exception as error:
        network.failed(node, StrategyError(f"{type(error).__name__} in timestamp: {error}"))
    return honest
