"""How few blocks a node may keep (QUARRY_KEEP), by what else it promises."""

from services.errors import BadSettings
from shared.chain_spec import ChainSpec

# Wallets ask for states 128 blocks back, the last 10,000 blocks are searched by the first digits of their hashes, and
# every reorganisation of that depth finds the bodies that it needs.
LEAST = 10_000


def check_keep(keep: int, spec: ChainSpec, pack_depth: int, payout_depth: int) -> None:
    """Refuse to keep so few blocks, or to prune at all, where the node could not do what it promises.

    Args:
        keep: blocks at the end of the chain.

    Raises:
        BadSettings
    """
    if spec.rules == "tutorial":
        raise BadSettings("QUARRY_KEEP: peers of a chain of the tutorial's rules ask for whole chains, so all is kept.")
    if spec.development:
        raise BadSettings(
            f"QUARRY_KEEP: {spec.name} is a development chain, which goes back to any of its blocks, so all is kept."
        )
    if not pack_depth:
        raise BadSettings("QUARRY_KEEP needs QUARRY_PACK_DEPTH: only packed blocks are pruned.")
    least = max(LEAST, 2 * pack_depth, 2 * payout_depth)
    if keep < least:
        raise BadSettings(
            f"QUARRY_KEEP: at least {least} blocks must be kept: {LEAST}, or twice QUARRY_PACK_DEPTH or "
            "QUARRY_PAYOUT_DEPTH where that is more. 0 keeps all."
        )
