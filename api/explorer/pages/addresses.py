"""The page of an address: its balance, history and allowances."""

from typing import Any

from api.explorer.places import at_places
from services.node import Node
from shared.amounts import format_amount

PAGE = 25
_QUEUED = 25


def address(node: Node, name: str, page: int) -> dict[str, Any]:
    """The content of the page of address `name` (in its normal form). `page` counts from 1, newest first."""
    account = node.chain.account(name)
    places = node.chain.history(name, newest=(page - 1) * PAGE, limit=PAGE + 1)
    history = at_places(node, places[:PAGE])
    waiting = node.pool.queue(name)
    owned = {item.fields["recipient"] for item in history if _approves(item.fields, name)}
    granted = {item.fields["sender"] for item in history if _is_spender(item.fields, name)}
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


def _approves(fields: dict[str, Any], owner: str) -> bool:
    return fields.get("type") == "approve" and fields.get("sender") == owner


def _is_spender(fields: dict[str, Any], spender: str) -> bool:
    return fields.get("type") == "approve" and fields.get("recipient") == spender
