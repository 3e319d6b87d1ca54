"""JSON over HTTP, by the standard library."""

import json
import time
import urllib.error
import urllib.request
from typing import Any

from quarrynode.errors import QuarryError, RpcError

# A proxy that is meant for other hosts must not get requests for this machine.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))

# Seconds for which a GET is repeated while the node's store does not answer, as on a machine whose disk is busy, and
# between two of them.
_STORE_SECONDS, _REPEAT = 30.0, 0.25


def ask(url: str, body: Any = None, *, method: str | None = None, timeout: float) -> Any:
    """The JSON value that a URL answers. A GET is repeated while the node's store is too busy to answer.

    Args:
        body: a JSON value to send; None: nothing is sent.
        method: "GET" without a body and "POST" with one, unless it is given.
        timeout: seconds without a sign of the node.

    Raises:
        QuarryError: the node refused the request; the message is the node's. Or what answered is not a node.
        OSError: nothing answered.
    """
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    deadline = time.monotonic() + _STORE_SECONDS
    while True:
        try:
            with _OPENER.open(request, timeout=timeout) as response:
                content = response.read()
            break
        except urllib.error.HTTPError as error:
            with error:
                refusal = error.read()
            is_busy = _text(refusal, "code") == "store_unavailable"
            if not is_busy or request.get_method() != "GET" or time.monotonic() > deadline:
                raise QuarryError(f"{url}: {_text(refusal, 'detail') or f'status {error.code}'}") from None
        time.sleep(_REPEAT)
    try:
        return json.loads(content)
    except ValueError:
        raise QuarryError(f"{url} does not answer with JSON.") from None


def call(url: str, method: str, params: tuple[Any, ...], timeout: float) -> Any:
    """The result of a JSON-RPC call. Raises: RpcError, and what `ask` raises."""
    answer = ask(url, {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}, timeout=timeout)
    if not isinstance(answer, dict):
        raise QuarryError(f"{url} does not answer as JSON-RPC 2.0 does.")
    error = answer.get("error")
    if error is not None:
        if not isinstance(error, dict):
            raise QuarryError(f"{url} does not answer as JSON-RPC 2.0 does.")
        raise RpcError(int(error.get("code", 0)), str(error.get("message", "")), error.get("data"))
    return answer.get("result")


def _text(refusal: bytes, name: str) -> str:
    """A text of a refusal (RFC 9457), such as `detail`, its sentence; "" if it has none."""
    try:
        value = json.loads(refusal)
    except ValueError:
        return ""
    return str(value.get(name, "")) if isinstance(value, dict) else ""
