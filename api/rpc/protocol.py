"""JSON-RPC 2.0, from the bytes of a request or a batch to the bytes of its response."""

import json
import re
from typing import Any

import structlog

from api.rpc import chain, logs, state, transactions
from api.rpc.errors import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    REFUSED,
    RESPONSE_TOO_LARGE,
    RpcError,
    refusal,
)
from api.rpc.methods import METHODS
from api.serving import budget
from services.connections import RedisError
from services.errors import Busy
from services.node import Node
from shared import wire
from shared.errors import InputError, NodeError

_log = structlog.get_logger(__name__)

MAX_BATCH = 50
# Once a batch's answers have so many bytes together, the rest is refused: it can be asked for in another batch.
MAX_BATCH_BYTES = 4 * 2**20
# Answers of that many bytes are told even where there is no room: that a transaction was sent, for one.
_SMALL = 1_024
# Importing these has filled the table.
_FILLED_BY = (chain, logs, state, transactions)
# Names that may be repeated to the client: nothing in them needs escaping, wherever the message is shown.
_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def answer(node: Node, body: bytes) -> bytes:
    """The response to the body of a request; empty where nothing but notifications came."""
    try:
        value = wire.parse(body, floats=True)
    except InputError as error:
        return refused(PARSE_ERROR, f"parse error: {error.message}")
    return answer_value(node, value)


def answer_value(node: Node, value: Any) -> bytes:
    """The response to the JSON value of a request."""
    if not isinstance(value, list):
        return _bytes(_answer(node, value))
    if not 0 < len(value) <= MAX_BATCH:
        return refused(INVALID_REQUEST, f"a batch has 1 to {MAX_BATCH} requests")
    answers: list[bytes] = []
    size, full = 0, RpcError(RESPONSE_TOO_LARGE, "response too large: ask for less in one batch")
    is_full = False
    for item in value:
        response = _without_room(item, full) if is_full else _answer(node, item)
        if response is None:
            continue
        answers.append(_bytes(response))  # now: as text it takes a quarter of the memory
        size += len(answers[-1])
        if is_full:
            continue
        try:
            budget.settle(size)
        except Busy as error:  # what was done is told; what is large is given up
            is_full, full = True, refusal(error)
            if len(answers[-1]) > _SMALL:
                answers[-1] = _bytes(_without_room(item, full))
        else:
            is_full = size > MAX_BATCH_BYTES
    return b"[" + b",".join(answers) + b"]" if answers else b""


def refused(code: int, message: str) -> bytes:
    """The response to what could not be read as a request."""
    return _bytes(_failure(None, RpcError(code, message)))


def _bytes(value: Any) -> bytes:
    return b"" if value is None else _encode(value).encode()


def _answer(node: Node, item: Any) -> dict[str, Any] | None:
    """The response to one request; None to a notification."""
    if not isinstance(item, dict):
        return _failure(None, RpcError(INVALID_REQUEST, "a request is an object"))
    identifier = item.get("id")
    if type(identifier) not in (str, int, type(None)):
        return _failure(None, RpcError(INVALID_REQUEST, "an id is a string, a whole number or null"))
    name, params = item.get("method"), item.get("params")
    if item.get("jsonrpc") != "2.0" or not isinstance(name, str):
        return _failure(identifier, RpcError(INVALID_REQUEST, "a request has jsonrpc 2.0 and a method"))
    try:
        result = _call(node, name, [] if params is None else params)
    except RpcError as error:
        response = _failure(identifier, error)
    except NodeError as error:
        response = _failure(identifier, refusal(error))
    except RedisError as error:
        # Clients repeat after this code, which is harmless here: a raw transaction has one id.
        _log.error("store_unavailable", error=type(error).__name__)
        response = _failure(identifier, RpcError(INTERNAL_ERROR, "the store does not answer"))
    except Exception as error:
        _log.exception("bug", error=type(error).__name__, method=name[:64])
        response = _failure(identifier, RpcError(INTERNAL_ERROR, "a fault of ours; it has been logged"))
    else:
        response = {"jsonrpc": "2.0", "id": identifier, "result": result}
    return response if "id" in item else None


def _call(node: Node, name: str, params: Any) -> Any:
    known = METHODS.get(name)
    if known is None:
        # ethers and viem look for this text to fall back.
        shown = name if _NAME.fullmatch(name) else "of that name"
        raise RpcError(METHOD_NOT_FOUND, f"the method {shown} does not exist/is not available")
    if not node.rules.has_accounts:
        raise RpcError(REFUSED, "wallets need a chain with the standard rules; this one has the tutorial's")
    if not isinstance(params, list):
        raise RpcError(INVALID_PARAMS, "params is a list")
    if not known.least <= len(params) <= known.most:
        wanted = str(known.least) if known.least == known.most else f"{known.least} to {known.most}"
        raise RpcError(INVALID_PARAMS, f"{name} takes {wanted} parameters")
    return known.function(node, *params)


def _without_room(item: Any, error: RpcError) -> dict[str, Any] | None:
    """The answer to a request for which its batch has no room left."""
    if not isinstance(item, dict) or "id" not in item:
        return None if isinstance(item, dict) else _failure(None, RpcError(INVALID_REQUEST, "a request is an object"))
    identifier = item["id"] if type(item["id"]) in (str, int) else None
    return _failure(identifier, error)


def _failure(identifier: Any, error: RpcError) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identifier, "error": error.to_object()}
