"""One block, and the transactions in it."""

from typing import Any

from api.reading import is_hash, is_height
from api.views import block_view
from services.node import Node
from services.store.records import StoredHeader

# Transactions on one page.
PAGE = 50


def find_block(node: Node, name: str) -> StoredHeader | None:
    """A block by height, hash or "latest"."""
    if name == "latest":
        return node.chain.header(node.chain.tip().hash)
    if is_hash(name):
        return node.chain.header(name)
    block_hash = node.chain.hash_at(int(name)) if is_height(name) else None
    return node.chain.header(block_hash) if block_hash else None


def block(node: Node, stored: StoredHeader, page: int) -> dict[str, Any]:
    """What the block's page shows. `page` counts from 1."""
    tip = node.chain.tip()
    view = block_view(node, stored, tip)
    transactions = view.pop("transactions")
    first = (page - 1) * PAGE
    there = node.chain.hash_at(stored.header.index)
    return {
        "block": view,
        "header": stored.header,
        "count": len(transactions),
        "transactions": list(enumerate(transactions))[first : first + PAGE],
        "page_number": page,
        "pages": max(1, -(-len(transactions) // PAGE)),
        "instead": there if there and there != stored.header.hash else None,
        "has_next": stored.header.index < tip.height,
    }
