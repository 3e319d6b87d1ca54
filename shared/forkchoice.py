"""Which of two valid chains is the chain. The only place that says so."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TipClaim:
    """What decides between two chains: the work behind a tip, and the tip's hash."""

    chainwork: int
    hash: str


def is_better(candidate: TipClaim, current: TipClaim) -> bool:
    """Whether `candidate` replaces `current`: more chainwork wins, and on a tie the lower hash.

    First-seen would be the usual tie-break, but then two halves of a network that mines no more would stay apart.
    """
    if candidate.chainwork != current.chainwork:
        return candidate.chainwork > current.chainwork
    return candidate.hash < current.hash
