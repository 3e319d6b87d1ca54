"""What this node refuses or reports because of its state or policy. Another node may accept it, or this one later."""

from typing import Literal

from shared.errors import NodeError, Refusal

PolicyCode = Literal[
    # a transaction
    "fee_too_low",
    "nonce_too_far",
    "replacement_underpriced",
    "too_many_replacements",
    # another request
    "bad_time",
    "name_taken",
    "no_reward_address",
    "not_a_sealer",
    "not_mined",
    "paced_by_difficulty",
    "range_too_large",
    "share_outside_lease",
    "share_repeated",
    "share_too_easy",
    "snapshot_too_large",
    "too_many_logs",
    "too_many_names",
    "too_many_tokens",
    "too_many_peers",
    "too_many_vouchers",
    # `Busy`
    "contended",
    "mempool_full",
    "too_many_answers",
    "too_many_bodies",
    "too_many_leases",
    "too_many_requests",
    "too_many_searches",
    "too_many_streams",
    "too_many_waiting",
]


class PolicyError(Refusal):
    """This node does not accept a valid transaction or request now, or not at this price."""

    def __init__(self, code: PolicyCode, message: str, *, field: str | None = None) -> None:
        super().__init__(code, message, field=field)


class NotASealer(PolicyError):
    """Only sealers make the next block, and this node, or this process of it, has no sealer's key."""

    def __init__(self, message: str) -> None:
        super().__init__("not_a_sealer", message)


class Busy(PolicyError):
    """A queue or the mempool is full. The request may be repeated later."""


class TipMoved(NodeError):
    """The tip changed between reading it and committing. Retry from the new tip."""


class Unfinished(TipMoved):
    """A reorganisation has swapped the chain, but not yet finished its indexes and mempool. Finish it, then retry."""


class NotFound(NodeError):
    """There is no such block, transaction, round or job."""


class Damaged(NodeError):
    """A record in the store is not what was written. `quarry chain verify` names it; `quarry repair` mends it."""


class Pruned(NodeError):
    """The body of a block was removed, as QUARRY_KEEP says; its header is kept. Another node may have it."""

    def __init__(self, kept_from: int, message: str = "") -> None:
        """`kept_from`: height of the first block from which on all bodies are kept."""
        super().__init__(
            message
            or f"The bodies of blocks 2 to {kept_from - 1} were removed (QUARRY_KEEP): this node keeps their headers, "
            f"and whole blocks from height {kept_from} on. Ask another node for older ones."
        )
        self.kept_from = kept_from


class LedgerDiffers(NodeError):
    """The stored state is not what the blocks result in. Until it is repaired, the node neither admits nor mines."""


class WrongChain(NodeError):
    """The store, or a peer, holds a chain of another chain spec. The message names both genesis blocks."""


class NotBegun(NodeError):
    """The store holds no chain: its genesis block is not written yet, or the store was emptied."""

    def __init__(self) -> None:
        super().__init__("The store holds no chain; a node writes the genesis block when its API starts.")


class StoreUnavailable(NodeError):
    """Redis did not answer in time. The last write may have happened or not; every script is safe to repeat."""


class BadSettings(NodeError):
    """A setting is unknown or has an impossible value. The message names it."""


class PeerFailed(NodeError):
    """A peer did not answer, or its answer cannot be used. It is asked again later, and less often."""


class NoSuchHost(PeerFailed):
    """There is no host of the peer's name. It may be mistyped, or of a machine that is not there yet."""


class ProxyFailed(PeerFailed):
    """The proxy in front of all peers does not work, so a peer could not be asked. Nothing is held against the peer."""


class PeerLied(PeerFailed):
    """A peer's answer breaks the rules or contradicts what the peer claimed. It is left alone for longer."""
