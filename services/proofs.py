"""Proofs that a transaction is in a block, for people who have only the block's hash."""

from typing import Any

from services.store.chain import ChainStore
from shared import merkle
from shared.canonical import canonical


def inclusion_proof(chain: ChainStore, transaction_id: str) -> dict[str, Any] | None:
    """The transaction, its Merkle branch (lowest sibling first) and its block's header, or None if it is not mined.

    To verify: leaf = SHA-256(0x00 ‖ canonical transaction); follow the branch to `transactions_root`; the header
    without proof gives the seal; SHA-256(seal + decimal proof) is the block's hash.
    """
    location = chain.locate(transaction_id)
    if location is None:
        return None
    block = chain.block_object(location.block_hash)
    leaves = [merkle.leaf_hash(canonical(item)) for item in block["transactions"]]
    return {
        "id": transaction_id,
        "transaction": block["transactions"][location.position],
        "position": location.position,
        "branch": [{"side": step.side, "hash": step.hash.hex()} for step in merkle.branch(leaves, location.position)],
        "header": {name: value for name, value in block.items() if name != "transactions"},
        "block": location.block_hash,
    }
