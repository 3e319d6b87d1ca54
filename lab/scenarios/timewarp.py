"""Miners who lie about the time cannot move the pace of the chain far.

The difficulty follows the timestamps in the blocks, so whoever writes false ones can try to change the pace. Node 1
has the part `share` of the hash rate and chooses, for each of its blocks, the timestamp that makes the next ten the
hardest: of 24 lies that were tried, the one that slows the chain down most. The rules bound it: a timestamp is above
the median of the last blocks and not far in the future, and a single solve time counts as six intervals at most.

The mean interval stays within a tenth of the target. A few blocks come faster or slower by chance alone; then the mean
is compared with what chance does to a pace within these bounds. On real nodes, 90 blocks take three minutes:
`quarry lab run timewarp --set warm_up=30 --set blocks=60`.
"""

from statistics import NormalDist

from lab.interface import Lab
from lab.measures import main_chain, require_at_least, share_hash_rate
from lab.strategies import TimeLiar
from lab.verdicts import JUDGED

FIDELITY = "tree"
# Not 1: timestamps are whole seconds and each counts as one at least, so the difficulty could never rise.
SPEC_CHANGES = {"block_interval": 2}
PATIENCE = 10_000_000.0  # seconds
BOUND = 0.1  # of the target
ENOUGH = 400  # blocks whose mean interval has little of chance: the difficulty makes up for it within some dozen


def run(lab: Lab, *, nodes: int = 2, share: float = 0.3, blocks: int = 2000, warm_up: int = 200) -> None:
    """
    Args:
        warm_up: blocks until the difficulty fits the hash rate.
    """
    require_at_least(1, blocks=blocks)
    share_hash_rate(lab, {1: share}, lab.spec.block_interval)
    lab.strategy(1, TimeLiar("greatest of the next ten"))
    lab.wait(lambda: len(lab.blocks()) > warm_up, within=PATIENCE, until="the difficulty fits the hash rate")
    began, first = lab.now, main_chain(lab.blocks())[-1].height
    lab.wait(lambda: len(lab.blocks()) > warm_up + blocks, within=PATIENCE, until=f"{blocks} blocks were found")
    found = main_chain(lab.blocks())[-1].height - first
    interval = (lab.now - began) / max(found, 1)
    lab.strategy(1, None)
    deviation = abs(interval / lab.spec.block_interval - 1)
    if blocks >= ENOUGH:
        lab.check("the mean interval stays within 10 % of the target", deviation <= BOUND, interval)
    else:
        fits = deviation <= BOUND + (1 + BOUND) * chance(found)
        lab.check(f"the mean interval of {found} blocks fits a pace within 10 % of the target", fits, interval)


def chance(blocks: int) -> float:
    """By which part the mean of so many exponential intervals differs from their law's in one of a thousand cases."""
    return float(NormalDist().inv_cdf(0.5 + JUDGED / 2) / max(blocks, 1) ** 0.5)
