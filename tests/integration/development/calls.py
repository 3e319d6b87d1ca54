"""JSON-RPC to a node in this process, with the Origin that the test says."""

import json
from typing import Any

from api.app import create_app
from services.node import Node
from tests.support.http import Door, FlaskDoor


class Rpc:
    """Calls of one node: `rpc("eth_chainId")` is the result."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def __call__(self, method: str, *params: Any) -> Any:
        answer = self.answer(method, *params)
        assert "error" not in answer, answer
        return answer["result"]

    def error(self, method: str, *params: Any, origin: str | None = None) -> tuple[int, str]:
        """Code and message of the error that a call must have."""
        answer = self.answer(method, *params, origin=origin)
        assert "result" not in answer, answer
        return answer["error"]["code"], answer["error"]["message"]

    def answer(self, method: str, *params: Any, origin: str | None = None) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}).encode()
        headers = {"Content_Type": "application/json"} | ({} if origin is None else {"Origin": origin})
        return self._door.call("POST", "/rpc", body, **headers).ok()


def rpc_to(node: Node) -> Rpc:
    return Rpc(FlaskDoor(create_app(node)))
