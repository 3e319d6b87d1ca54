"""Refusals that depend on this node's state or policy, not on consensus: another may say yes, or this one later."""

from shared.errors import CodedError, NodeError


class PolicyError(CodedError):
    """This node will not take a valid transaction or request, now or at this price."""


class Busy(PolicyError):
    """A queue or the mempool is full. Worth trying again later."""


class TipMoved(NodeError):
    """The tip changed between reading it and committing. Retry from the new tip."""


class Unfinished(TipMoved):
    """A reorganisation has swapped the chain; its indexes and mempool are not finished yet. Finish it, then retry."""


class NotFound(NodeError):
    """There is no such block, transaction, round or job."""


class Damaged(NodeError):
    """A record of the store cannot be what was written. `quarry chain verify` names it, `quarry repair` mends it."""


class LedgerDiffers(NodeError):
    """The stored state is not the one that the blocks give. Until it is repaired, the node neither admits nor mines."""


class WrongChain(NodeError):
    """The store, or a peer, holds a chain of another chain spec. The message names both genesis blocks."""


class NotBegun(NodeError):
    """The store holds no chain: nobody has written its genesis block yet, or the store was emptied."""

    def __init__(self) -> None:
        super().__init__("The store holds no chain; a node writes the genesis block when its API starts.")


class StoreUnavailable(NodeError):
    """Redis did not answer in time. Whether the last write happened is unknown; the scripts are safe to repeat."""


class BadSettings(NodeError):
    """A setting is unknown or has an impossible value. The message names it."""


class PeerFailed(NodeError):
    """A peer did not answer, or not as it should. It is asked again later, and less often."""


class PeerLied(PeerFailed):
    """A peer's answer breaks the rules or contradicts what it claimed. It is passed over for longer."""
