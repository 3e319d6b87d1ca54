"""Block tags: a word such as latest or pending, a height, `{blockNumber}` or `{blockHash}`.

Heights begin at 0 here, as in all of JSON-RPC: block 0 is the chain spec (services/token/spec_block.py).
"""

from typing import Any

from api.rpc.errors import REFUSED, RpcError, invalid_params
from api.rpc.quantity import read_data, read_quantity
from services.node import Node
from services.store.records import StoredHeader
from shared.wire import MAX_INTEGER

_LATEST = frozenset({"latest", "pending", "safe", "finalized"})


def read_height(node: Node, tag: Any) -> int | None:
    """The height that a tag names, which may be above the tip; None for the tip itself.

    Raises:
        RpcError: bad parameters, or a hash that is not on the chain.
    """
    if tag is None or (isinstance(tag, str) and tag in _LATEST):
        return None
    if tag == "earliest":
        return 0
    if isinstance(tag, dict):
        if tag.get("blockHash") is not None and tag.get("blockNumber") is not None:  # in geth's words
            raise invalid_params("cannot specify both BlockHash and BlockNumber, choose one or the other")
        if tag.get("blockHash") is not None:
            stored = find_by_hash(node, tag["blockHash"], "blockHash")
            if stored is None:
                raise RpcError(REFUSED, "header for hash not found")
            return stored.header.index
        if tag.get("blockNumber") is not None:
            return read_quantity(tag["blockNumber"], "blockNumber")
        raise invalid_params("a block object has blockNumber or blockHash")
    return read_quantity(tag, "block")


def read_state_height(node: Node, tag: Any) -> int | None:
    """As `read_height`, for the methods that read state: there a block hash may stand without an object around it.

    EIP-1898 asks for `{blockHash}`; geth also takes the 66 characters.
    """
    return read_height(node, {"blockHash": tag} if isinstance(tag, str) and len(tag) == 66 else tag)


def is_pending(tag: Any) -> bool:
    return isinstance(tag, str) and tag == "pending"


def find_block(node: Node, tag: Any) -> StoredHeader | None:
    """The block that a tag names, or None if the chain has none at that height. `pending` counts as `latest`."""
    height = read_height(node, tag)
    if height is None:
        return node.chain.header(node.chain.tip().hash)
    if height == 0:
        return node.wallet_blocks.spec_block.stored
    block_hash = node.chain.hash_at(height) if height <= MAX_INTEGER else None
    return None if block_hash is None else node.chain.header(block_hash)


def find_by_hash(node: Node, value: Any, name: str = "hash") -> StoredHeader | None:
    """The block with this hash, or None if it is not on the chain."""
    block_hash = read_data(value, name, 32).hex()
    first = node.wallet_blocks.spec_block.stored
    if block_hash == first.header.hash:
        return first
    stored = node.chain.header(block_hash)
    return stored if stored is not None and node.chain.is_on_chain(stored) else None


def first_within(transactions: int, headers: list[StoredHeader]) -> list[StoredHeader]:
    """The first of `headers` whose blocks have at most `transactions` transactions together, but at least one."""
    left = transactions
    for count, stored in enumerate(headers):
        left -= stored.transactions
        if left < 0 and count:
            return headers[:count]
    return headers
