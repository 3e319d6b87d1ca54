"""One address: its balance, its history, whom it allows to spend."""

import json
from typing import Any

from services.node import Node
from services.store.records import StoredHeader
from shared.amounts import format_amount

PAGE = 25
_QUEUED = 25


def address(node: Node, name: str, page: int) -> dict[str, Any]:
    """What the page of an address (in its normal form) shows. `page` counts from 1, the newest first."""
    account = node.chain.account(name)
    places = node.chain.history(name, newest=(page - 1) * PAGE, limit=PAGE + 1)
    history = _history(node, places[:PAGE])
    waiting = node.pool.queue(name)
    owned = {item["fields"]["recipient"] for item in history if _approves(item["fields"], name)}
    granted = {item["fields"]["sender"] for item in history if _is_spender(item["fields"], name)}
    allowances = [(name, spender, node.chain.allowance(name, spender)) for spender in sorted(owned)]
    allowances += [(owner, name, node.chain.allowance(owner, name)) for owner in sorted(granted - {name})]
    return {
        "address": name,
        "balance": format_amount(account.balance),
        "nonce": account.nonce,
        "history": history,
        "waiting": waiting[:_QUEUED],
        "waiting_count": len(waiting),
        "page_number": page,
        "more": len(places) > PAGE,
        "allowances": [(owner, spender, format_amount(left)) for owner, spender, left in allowances],
    }


def _history(node: Node, places: list[tuple[int, int]]) -> list[dict[str, Any]]:
    """The transactions at some places. Every block is read once, however many of its transactions are shown."""
    blocks: dict[int, tuple[StoredHeader, list[str], list[Any]] | None] = {}
    found = []
    for height, position in places:
        if height not in blocks:
            blocks[height] = _block(node, height)
        block = blocks[height]
        # A reorganisation may be under way: the chain is the judge, not the index.
        if block is not None and position < len(block[1]):
            stored, ids, transactions = block
            found.append({"id": ids[position], "fields": transactions[position], "header": stored.header})
    return found


def _block(node: Node, height: int) -> tuple[StoredHeader, list[str], list[Any]] | None:
    block_hash = node.chain.hash_at(height)
    stored = node.chain.header(block_hash) if block_hash else None
    text = node.chain.block_bytes(block_hash) if block_hash else None
    if block_hash is None or stored is None or text is None:
        return None
    return stored, node.chain.transaction_ids(block_hash), json.loads(text)["transactions"]


def _approves(fields: dict[str, Any], owner: str) -> bool:
    return fields.get("type") == "approve" and fields.get("sender") == owner


def _is_spender(fields: dict[str, Any], spender: str) -> bool:
    return fields.get("type") == "approve" and fields.get("recipient") == spender
