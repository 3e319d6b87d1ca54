"""Proofs that a transaction is in a block, for people who have only the block's hash."""

from typing import Any

from services.store.index import Location
from shared import merkle
from shared.canonical import canonical


def inclusion_proof(block: dict[str, Any], place: Location, transaction_id: str) -> dict[str, Any]:
    """A transaction of `block` (its JSON object), its Merkle branch (lowest sibling first) and the block's header.

    To verify: leaf = SHA-256(0x00 ‖ canonical transaction); follow the branch to `transactions_root`; the header
    without proof gives the seal; SHA-256(seal + decimal proof) is the block's hash.
    """
    leaves = [merkle.leaf_hash(canonical(item)) for item in block["transactions"]]
    return {
        "id": transaction_id,
        "transaction": block["transactions"][place.position],
        "position": place.position,
        "branch": [{"side": step.side, "hash": step.hash.hex()} for step in merkle.branch(leaves, place.position)],
        "header": {name: value for name, value in block.items() if name != "transactions"},
        "block": place.block_hash,
    }
