"""The page about miners that are not trusted: what their shares bear out, and what they say."""

import re
from typing import Any

from api.representations import represent_payee
from services.launch.addresses import url_of
from services.node import Node
from services.settings.table import Settings
from services.store.leases import Miner
from shared.shares import borne_out, chance_of_so_few, withholds

LISTED = 200
# What may stand in the content security policy of a page.
_HOST = re.compile(r"[0-9a-z.-]{1,253}|[0-9a-f:]{2,39}")
_CODE = re.compile(r"[0-9A-Za-z-]{1,40}")


def is_code(text: str) -> bool:
    """Whether `text` may be the short code of a voucher."""
    return _CODE.fullmatch(text) is not None


def door_beside(settings: Settings, host: str) -> str:
    """The URL at which a page of this node reaches its `quarry rpc`; "" if it has none.

    Args:
        host: of the request for the page, without its port. Whether anything answers there is for the page to see.
    """
    return url_of(host, settings.rpc_port) if settings.rpc_port and _HOST.fullmatch(host) else ""


def miners(node: Node) -> dict[str, Any]:
    """The content of the page: the miners that were seen last, and what they and those who were paid last have got."""
    found = node.leases.miners(LISTED)
    addresses = list(dict.fromkeys(miner.address for miner in found if miner.address))
    addresses += [address for address in node.payouts.paid_last(LISTED) if address not in addresses]
    paid = [payee for payee in node.payouts.payees(addresses).values() if payee.paid or payee.planned]
    return {
        "miners": [_shown(miner) for miner in found],
        "listed": LISTED,
        "payees": [represent_payee(payee) for payee in sorted(paid, key=lambda payee: -payee.paid)],
        "totals": node.payouts.totals(),
    }


def _shown(miner: Miner) -> dict[str, Any]:
    low, high = borne_out(miner.credited, miner.usual_difficulty)
    return {
        "name": miner.name,
        "voucher": miner.voucher,
        "address": miner.address,
        "credited": miner.credited,
        "low": low,
        "high": high,
        "reported": miner.reported,
        "is_borne_out": miner.reported <= high,
        "shares": miner.shares,
        "late": miner.late,
        "refused": miner.refused,
        "blocks": miner.blocks,
        "expected": miner.expected,
        "withholds": withholds(miner.expected, miner.proofs),
        "chance": 100 * chance_of_so_few(miner.expected, miner.proofs),
        "seen": miner.seen,
    }
