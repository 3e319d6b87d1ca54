"""What scenarios share: figures of a block tree, and parts of the hash rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab.interface import Lab, LabBlock, LabError
from shared.forkchoice import TipClaim, is_better


def main_chain(blocks: Sequence[LabBlock]) -> list[LabBlock]:
    """The chain that fork choice prefers among all blocks, genesis first."""
    best = blocks[0]
    by_hash = {block.hash: block for block in blocks}
    for block in blocks:
        if is_better(TipClaim(block.chainwork, block.hash), TipClaim(best.chainwork, best.hash)):
            best = block
    chain = [best]
    while chain[-1].hash != blocks[0].hash:
        chain.append(by_hash[chain[-1].parent])
    return chain[::-1]


def revenue_share(blocks: Sequence[LabBlock], finder: int) -> float:
    """Which part of the main chain's blocks a node found; genesis does not count. 0 if there are none."""
    chain = main_chain(blocks)[1:]
    return sum(block.finder == finder for block in chain) / len(chain) if chain else 0.0


def stale_share(blocks: Sequence[LabBlock]) -> float:
    """Which part of all blocks is not in the main chain; genesis does not count."""
    return (len(blocks) - len(main_chain(blocks))) / (len(blocks) - 1) if len(blocks) > 1 else 0.0


def require_at_least(least: float, **given: float) -> None:
    """Refuse parameters that are too small for a scenario, by their names."""
    for name, value in given.items():
        if value < least:
            raise LabError(f"{name} is at least {least:g}, not {value:g}.")


def share_hash_rate(lab: Lab, shares: Mapping[int, float], interval: float | None = None) -> None:
    """Limit the hash rates so that some nodes have given parts of it, and the others equal parts of the rest.

    Args:
        shares: number of the node → its part of the whole, from 0 to 1.
        interval: seconds from one block to the next that all nodes together need. None: two.
    """
    rest = [node for node in lab.nodes if node.number not in shares]
    left = 1 - sum(shares.values())
    if not 0 <= left <= 1 or (not rest and left > 0):
        raise LabError(f"The parts of the hash rate do not make a whole: {sum(shares.values()):g}.")
    total = lab.spec.difficulty / (2.0 if interval is None else interval)
    for node in lab.nodes:
        node.limit(total * shares.get(node.number, left / len(rest) if rest else 0.0))
