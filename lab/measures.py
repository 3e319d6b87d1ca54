"""Figures of a block tree: what scenarios measure."""

from __future__ import annotations

from collections.abc import Sequence

from lab.interface import LabBlock
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
