"""The page of an address: its balance, history and allowances."""

from typing import Any

from api.explorer.history import effect_of, genesis_effect
from api.explorer.places import at_places
from services.node import Node
from shared.amounts import format_amount

PAGE = 25
_QUEUED = 25
# How often a page is read again because a block arrived meanwhile: balance and history must belong together.
_ATTEMPTS = 3


def address(node: Node, name: str, page: int) -> dict[str, Any]:
    """The content of the page of address `name` (in its normal form). `page` counts from 1, newest first.

    The changes on all pages together are the balance: the coins of genesis end the last page.
    """
    for _ in range(_ATTEMPTS):
        tip = node.chain.tip().hash
        account = node.chain.account(name)
        places = node.chain.history(name, newest=(page - 1) * PAGE, limit=PAGE + 1)
        kept_from = node.chain.kept_from()
        history = at_places(node, [place for place in places[:PAGE] if place[0] >= kept_from])
        if node.chain.tip().hash == tip:
            break
    more = len(places) > PAGE
    # A page beyond the last has no entries; the first may have none but that of genesis.
    is_last = not more and (page == 1 or bool(places))
    allocated = node.snapshots.account(name, 0).balance if is_last else 0
    counts = node.rules.has_accounts
    effects = [effect_of(item.fields, name, node.settings.spec.reward) if counts else None for item in history]
    waiting = node.pool.queue(name)
    owned = {item.fields["recipient"] for item in history if _approves(item.fields, name)}
    granted = {item.fields["sender"] for item in history if _is_spender(item.fields, name)}
    allowances = [(name, spender, node.chain.allowance(name, spender)) for spender in sorted(owned)]
    allowances += [(owner, name, node.chain.allowance(owner, name)) for owner in sorted(granted - {name})]
    return {
        "address": name,
        "balance": format_amount(account.balance),
        "nonce": account.nonce,
        "history": list(zip(history, effects, strict=True)),
        "genesis": genesis_effect(allocated) if allocated else None,
        "waiting": waiting[:_QUEUED],
        "waiting_count": len(waiting),
        "pruned": sum(height < kept_from for height, _ in places[:PAGE]),
        "kept_from": kept_from,
        "page_number": page,
        "more": more,
        "allowances": [(owner, spender, format_amount(left)) for owner, spender, left in allowances],
    }


def _approves(fields: dict[str, Any], owner: str) -> bool:
    return fields.get("type") == "approve" and fields.get("sender") == owner


def _is_spender(fields: dict[str, Any], spender: str) -> bool:
    return fields.get("type") == "approve" and fields.get("recipient") == spender
