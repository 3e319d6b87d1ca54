"""The page of a block and its transactions."""

from typing import Any

from api.representations import represent_block
from services.node import Node
from services.store.records import StoredHeader

# Transactions on one page.
PAGE = 50


def block(node: Node, stored: StoredHeader, page: int) -> dict[str, Any]:
    """The content of the page of a block. `page` counts from 1."""
    tip = node.chain.tip()
    shown = represent_block(node, stored, tip)
    transactions = shown.pop("transactions")
    first = (page - 1) * PAGE
    there = node.chain.hash_at(stored.header.index)
    return {
        "block": shown,
        "header": stored.header,
        "count": len(transactions),
        "transactions": list(enumerate(transactions))[first : first + PAGE],
        "page_number": page,
        "pages": max(1, -(-len(transactions) // PAGE)),
        "instead": there if there and there != stored.header.hash else None,
        "has_next": stored.header.index < tip.height,
        "is_below_spec": stored.header.previous_hash == node.wallet_blocks.spec_block.stored.header.hash,
    }
