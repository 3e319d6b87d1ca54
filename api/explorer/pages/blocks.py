"""The page of a block and its transactions."""

from typing import Any

from api.representations import represent_block, represent_header, represent_round
from services.errors import Pruned
from services.node import Node
from services.store.records import StoredHeader
from shared.addresses import REWARD_SENDER

# Transactions on one page.
PAGE = 50


def block(node: Node, stored: StoredHeader, page: int) -> dict[str, Any]:
    """The content of the page of a block. `page` counts from 1."""
    tip = node.chain.tip()
    kept_from: int | None = None
    try:
        shown = represent_block(node, stored, tip)
    except Pruned as error:
        kept_from = error.kept_from
        shown = {**represent_header(stored, tip), "transactions": []}
    transactions = shown.pop("transactions")
    first = (page - 1) * PAGE
    there = node.chain.hash_at(stored.header.index)
    on_page = list(enumerate(transactions))[first : first + PAGE]
    return {
        "block": shown,
        "header": stored.header,
        "count": stored.transactions,
        "kept_from": kept_from,  # given if the block's body was removed
        "transactions": on_page,
        "has_memos": any("data" in item for _, item in on_page),
        "miner": _miner(node, transactions),
        "solved_in": _solved_in(node, stored),
        "mined_in": _mined_in(node, stored),
        "page_number": page,
        "pages": max(1, -(-len(transactions) // PAGE)),
        "instead": there if there and there != stored.header.hash else None,
        "has_next": stored.header.index < tip.height,
        "is_below_spec": stored.header.previous_hash == node.wallet_blocks.spec_block.stored.header.hash,
    }


def _miner(node: Node, transactions: list[dict[str, Any]]) -> Any:
    """Whom the reward of a block pays; None for a block without a reward, as the first.

    Under the tutorial's rules that is any JSON, and the sender of a reward is written as 0 or as "0".
    """
    if not transactions:
        return None
    reward = transactions[0 if node.rules.reward_first else -1]
    sender = reward.get("sender")
    return reward.get("recipient") if sender == REWARD_SENDER or (type(sender) is int and sender == 0) else None


def _solved_in(node: Node, stored: StoredHeader) -> float | None:
    """Seconds between the times of the parent and the block, below zero if the block's is earlier.

    None for the first two blocks: the time of the first is a date in the chain spec.
    """
    if stored.header.index <= 2:
        return None
    parent = node.chain.header(str(stored.header.previous_hash))
    return None if parent is None else float(stored.header.timestamp) - float(parent.header.timestamp)


def _mined_in(node: Node, stored: StoredHeader) -> dict[str, Any] | None:
    """The round in which this node mined a block, and its `seconds`; None if there is none, or no longer."""
    found = node.mining.round_of(stored.header.hash)
    if found is None or found.ended_at is None:
        return None
    return {**represent_round(node, found), "seconds": found.ended_at - found.opened_at}
