"""Block tags: latest, pending, a height, `{blockNumber}` or `{blockHash}`."""

from typing import Any

from api.rpc.errors import REFUSED, RpcError, invalid_params
from api.rpc.quantity import read_data, read_quantity
from services.node import Node
from services.store.records import StoredHeader

_LATEST = frozenset({"latest", "pending", "safe", "finalized"})


def read_height(node: Node, tag: Any) -> int:
    """The height that a tag names; it may be above the tip. A hash that is not on the chain is an error."""
    if tag is None or (isinstance(tag, str) and tag in _LATEST):
        return node.chain.tip().height
    if tag == "earliest":
        return 1
    if isinstance(tag, dict):
        if "blockHash" in tag:
            stored = node.chain.header(read_data(tag["blockHash"], "blockHash", 32).hex())
            if stored is None or not node.chain.is_on_chain(stored):
                raise RpcError(REFUSED, "header for hash not found")
            return stored.header.index
        if "blockNumber" in tag:
            return read_quantity(tag["blockNumber"], "blockNumber")
        raise invalid_params("a block object has blockNumber or blockHash")
    return read_quantity(tag, "block")


def is_pending(tag: Any) -> bool:
    return isinstance(tag, str) and tag == "pending"


def find_block(node: Node, tag: Any) -> StoredHeader | None:
    """The block that a tag names, or None if the chain has none there."""
    block_hash = node.chain.hash_at(read_height(node, tag))
    return None if block_hash is None else node.chain.header(block_hash)


def find_by_hash(node: Node, value: Any) -> StoredHeader | None:
    """The block with a hash, if it is on the chain."""
    stored = node.chain.header(read_data(value, "hash", 32).hex())
    return stored if stored is not None and node.chain.is_on_chain(stored) else None
