"""Miners who lie about the time cannot move the pace of the chain far.

The difficulty follows the timestamps in the blocks, so whoever writes false ones can try to change the pace. Node 1
has the part `share` of the hash rate and chooses, for each of its blocks, the timestamp that makes the next ten the
hardest: of 24 lies that were tried, the one that slows the chain down most. The rules bound it: a timestamp is above
the median of the last blocks and not far in the future, and a single solve time counts as six intervals at most.

The mean interval stays within a tenth of the target.
"""

from lab.interface import Lab
from lab.measures import main_chain, share_hash_rate
from lab.strategies import TimeLiar

FIDELITY = "tree"
# Not 1: timestamps are whole seconds and each counts as one at least, so the difficulty could never rise.
SPEC_CHANGES = {"block_interval": 2}
PATIENCE = 10_000_000.0  # seconds
WARM_UP = 200  # blocks until the difficulty fits the hash rate


def run(lab: Lab, *, nodes: int = 2, share: float = 0.3, blocks: int = 2000) -> None:
    share_hash_rate(lab, {1: share}, lab.spec.block_interval)
    lab.strategy(1, TimeLiar("greatest of the next ten"))
    lab.wait(lambda: len(lab.blocks()) > WARM_UP, within=PATIENCE, until="the difficulty fits the hash rate")
    began, first = lab.now, main_chain(lab.blocks())[-1].height
    lab.wait(lambda: len(lab.blocks()) > WARM_UP + blocks, within=PATIENCE, until=f"{blocks} blocks were found")
    interval = (lab.now - began) / (main_chain(lab.blocks())[-1].height - first)
    lab.strategy(1, None)
    target = lab.spec.block_interval
    lab.check("the mean interval stays within 10 % of the target", abs(interval / target - 1) <= 0.1, interval)
