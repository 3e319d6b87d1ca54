"""Fork choice: which of two valid chains is the chain. No other module decides it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TipClaim:
    """What decides between two chains: the work behind a tip, and the tip's hash."""

    chainwork: int
    hash: str


def is_better(candidate: TipClaim, current: TipClaim) -> bool:
    """Whether `candidate` replaces `current`: more chainwork wins, and on a tie the lower hash.

    The usual tie-break, first seen, would leave two halves of a network that no longer mines on different tips.
    """
    if candidate.chainwork != current.chainwork:
        return candidate.chainwork > current.chainwork
    return candidate.hash < current.hash
