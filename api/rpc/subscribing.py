"""`eth_subscribe` and `eth_unsubscribe` over HTTP, which cannot carry notifications: geth's answers.

Over a WebSocket the connection's own methods come first (api/door/subscriptions.py).
"""

from typing import Any

from api.rpc.errors import METHOD_NOT_FOUND, REFUSED, RpcError
from api.rpc.method_table import method
from services.node import Node


@method("eth_subscribe", 1, 2)
def subscribe(node: Node, kind: Any, option: Any = None) -> Any:
    raise RpcError(METHOD_NOT_FOUND, "notifications not supported")


@method("eth_unsubscribe", 1)
def unsubscribe(node: Node, subscription_id: Any) -> Any:
    raise RpcError(REFUSED, "subscription not found")
