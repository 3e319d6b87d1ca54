"""JSON-RPC 2.0, from the bytes of a request or a batch to the bytes of its response."""

import json
import re
from typing import Any

import structlog

from api.rpc import chain, logs, mempool, sending, state, subscribing, transactions
from api.rpc.development import accounts, balances, branches, clock, instance, mining, pool, states
from api.rpc.development.refused import REFUSED as REFUSED_METHODS
from api.rpc.error_log import ERRORS
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
from api.rpc.method_table import METHODS, NO_METHODS, Methods
from api.serving import budget
from services.connections.failures import FAILURES
from services.connections.servers import RedisError
from services.errors import Busy
from services.node import Node
from services.system import tracing
from shared import wire
from shared.errors import InputError, NodeError

_log = structlog.get_logger(__name__)

MAX_BATCH = 50
# Once the answers of a batch have more bytes than this, the rest of its requests are refused.
MAX_BATCH_BYTES = 4 * 2**20
# Answers of at most this many bytes are sent even if there is no room. One may say that a transaction was admitted.
_SMALL = 1_024
# Importing these modules fills the table of methods.
_FILLED_BY = (
    chain, logs, mempool, sending, state, subscribing, transactions,
    accounts, balances, branches, clock, instance, mining, pool, states,
)  # fmt: skip
# Method names that an error message may quote: they need no escaping, wherever the message is shown.
_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def answer(node: Node, body: bytes, controls: bool, own: Methods = NO_METHODS) -> bytes:
    """The response to the body of a request; empty if it has only notifications.

    Args:
        controls: whether the caller may use control methods (`api.rpc.caller.may_control`). For others they do not
            exist.
        own: methods of the caller's connection, such as `eth_subscribe` of a WebSocket. They come before all others.
    """
    try:
        value = wire.parse(body, floats=True)
    except InputError as error:
        return refused(PARSE_ERROR, f"parse error: {error.message}")
    return answer_value(node, value, controls, own)


def answer_value(node: Node, value: Any, controls: bool, own: Methods = NO_METHODS) -> bytes:
    """The response to the JSON value of a request; `controls` and `own` as for `answer`."""
    if not isinstance(value, list):
        return _bytes(_answer(node, value, controls, own))
    if not 0 < len(value) <= MAX_BATCH:
        return refused(INVALID_REQUEST, f"a batch has 1 to {MAX_BATCH} requests")
    answers: list[bytes] = []
    size, full = 0, RpcError(RESPONSE_TOO_LARGE, "response too large: ask for less in one batch")
    is_full = False
    for item in value:
        response = _without_room(item, full) if is_full else _answer(node, item, controls, own)
        if response is None:
            continue
        answers.append(_bytes(response))  # encoded at once: as text it takes a quarter of the memory
        size += len(answers[-1])
        if is_full:
            continue
        try:
            budget.settle(size)
        except Busy as error:  # small answers are kept, since they may say what was done; a large one is dropped
            is_full, full = True, refusal(error)
            if len(answers[-1]) > _SMALL:
                answers[-1] = _bytes(_without_room(item, full))
        else:
            is_full = size > MAX_BATCH_BYTES
    return b"[" + b",".join(answers) + b"]" if answers else b""


def answer_large(node: Node, body: bytes, controls: bool, own: Methods = NO_METHODS) -> bytes | None:
    """As `answer`, for a body that is longer than others may have; None if its request may not have such a body."""
    try:
        value = wire.parse(body, floats=True)
    except InputError:
        return None
    return answer_value(node, value, controls, own) if takes_large_body(value) else None


def takes_large_body(value: Any) -> bool:
    """Whether a request, by its JSON value, may have a large body. A batch may not."""
    return isinstance(value, dict) and value.get("method") in states.LOADS


def refused(code: int, message: str) -> bytes:
    """The response to a body that cannot be read as a request."""
    return _bytes(_failure(None, RpcError(code, message)))


def refused_all(value: Any, code: int, message: str) -> bytes:
    """The response that refuses a request, or each request of a batch."""
    error = RpcError(code, message)
    if isinstance(value, list) and 0 < len(value) <= MAX_BATCH:
        return _bytes([_failure(_id_of(item), error) for item in value])
    return _bytes(_failure(_id_of(value), error))


def _id_of(item: Any) -> Any:
    """The id of a request, if it is one that may be repeated; else None."""
    identifier = item.get("id") if isinstance(item, dict) else None
    return identifier if type(identifier) in (str, int) else None


def _bytes(value: Any) -> bytes:
    return b"" if value is None else _encode(value).encode()


def _answer(node: Node, item: Any, controls: bool, own: Methods) -> dict[str, Any] | None:
    """The response to one request; None for a notification."""
    if not isinstance(item, dict):
        return _failure(None, RpcError(INVALID_REQUEST, "a request is an object"))
    identifier = item.get("id")
    if type(identifier) not in (str, int, type(None)):
        return _failure(None, RpcError(INVALID_REQUEST, "an id is a string, a whole number or null"))
    name, params = item.get("method"), item.get("params")
    if item.get("jsonrpc") != "2.0" or not isinstance(name, str):
        return _failure(identifier, RpcError(INVALID_REQUEST, "a request has jsonrpc 2.0 and a method"))
    try:
        result = _call(node, name, [] if params is None else params, controls, own)
    except RpcError as error:
        response = _failure(identifier, error)
    except NodeError as error:
        response = _failure(identifier, refusal(error))
    except RedisError as error:
        # Clients retry after this code. That is harmless: a raw transaction that is sent twice has the same id.
        FAILURES.note(error)
        response = _failure(identifier, RpcError(INTERNAL_ERROR, "the store does not answer"))
    except Exception as error:
        _log.exception("bug", error=type(error).__name__, method=name[:64])
        response = _failure(identifier, RpcError(INTERNAL_ERROR, "a fault of ours; it has been logged"))
    else:
        response = {"jsonrpc": "2.0", "id": identifier, "result": result}
    if (failure := response.get("error")) is not None:
        ERRORS.note(node.settings, name if _NAME.fullmatch(name) else "?", failure)
    return response if "id" in item else None


def _call(node: Node, name: str, params: Any, controls: bool, own: Methods) -> Any:
    known = own.get(name) or METHODS.get(name)
    if known is None or (known.controls and not controls):
        # ethers and viem look for this text to try another method.
        shown = name if _NAME.fullmatch(name) else "of that name"
        if controls and name in REFUSED_METHODS:
            raise RpcError(REFUSED, REFUSED_METHODS[name])
        raise RpcError(METHOD_NOT_FOUND, f"the method {shown} does not exist/is not available")
    if not node.rules.has_accounts:
        raise RpcError(REFUSED, "wallets need a chain with the standard rules; this one has the tutorial's")
    if not isinstance(params, list):
        raise RpcError(INVALID_PARAMS, "params is a list")
    if not known.least <= len(params) <= known.most:
        wanted = str(known.least) if known.least == known.most else f"{known.least} to {known.most}"
        raise RpcError(INVALID_PARAMS, f"{name} takes {wanted} parameters")
    with tracing.trace(name):
        return known.function(node, controls, *params) if known.told else known.function(node, *params)


def _without_room(item: Any, error: RpcError) -> dict[str, Any] | None:
    """The answer to a request whose batch has no room left."""
    if not isinstance(item, dict) or "id" not in item:
        return None if isinstance(item, dict) else _failure(None, RpcError(INVALID_REQUEST, "a request is an object"))
    return _failure(_id_of(item), error)


def _failure(identifier: Any, error: RpcError) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identifier, "error": error.to_object()}
