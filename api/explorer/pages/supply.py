"""The page about the supply: how many coins there are, and where they come from."""

from typing import Any

from services.node import Node
from shared.amounts import format_amount

# Accounts of genesis that are listed; a chain for development may have a thousand.
LISTED = 20


def supply(node: Node) -> dict[str, Any]:
    """The content of the page about the supply. Nothing is counted under the tutorial's rules, which have no ledger."""
    tip, spec = node.chain.tip(), node.settings.spec
    allocated = node.snapshots.supply(0)
    accounts = [(address, format_amount(amount)) for address, amount in spec.allocations.items() if amount]
    return {
        "total": format_amount(tip.supply),
        "allocated": format_amount(allocated),
        "accounts": accounts[:LISTED],
        "account_count": len(accounts),
        "mined": format_amount(tip.supply - allocated),
        "mined_blocks": tip.height - 1,
        "reward": format_amount(spec.reward),
    }
