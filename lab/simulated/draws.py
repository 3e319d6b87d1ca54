"""What chance has decided in a run: enough for the statistical simulation to replay it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Draw:
    """One proof that was found."""

    time: float  # virtual seconds
    finder: int  # number of the node
    hash: str  # of the block
    parent: str  # hash of the block that the finder worked on
    timestamp: int  # Unix seconds in the header
