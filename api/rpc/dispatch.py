"""JSON-RPC 2.0: reading requests and batches, calling methods, answering always with HTTP 200."""

from typing import Any

import structlog
from flask import Blueprint, Response, json, request
from flask.typing import ResponseReturnValue

from api.access import node
from api.errors import Refusal
from api.reading import json_body
from api.rpc import chain, logs, state, transactions
from api.rpc.errors import INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, PARSE_ERROR, REFUSED, RpcError, refusal
from api.rpc.methods import METHODS
from services.node import Node
from shared.errors import InputError, NodeError

_log = structlog.get_logger(__name__)

blueprint = Blueprint("rpc", __name__)

MAX_BATCH = 50
# Importing these has filled the table.
_FILLED_BY = (chain, logs, state, transactions)


@blueprint.post("/rpc")
def rpc() -> ResponseReturnValue:
    """Answer JSON-RPC.
    ---
    post:
      summary: Ethereum JSON-RPC 2.0, for wallets
      description: >-
        Single requests and batches of up to 50. Always 200, errors are JSON-RPC error objects; a notification gets an
        empty body.
      requestBody:
        required: true
        content: {application/json: {schema: {type: object}}}
      responses:
        '200': {description: A JSON-RPC response or a list of them.}
    """
    try:
        body = json_body(floats=True)
    except InputError as error:
        return _respond(_failure(None, RpcError(PARSE_ERROR, f"parse error: {error.message}")))
    except Refusal as error:
        if error.status == 413:
            raise
        return _respond(_failure(None, RpcError(INVALID_REQUEST, error.detail)))
    if not isinstance(body, list):
        return _respond(_answer(node(), body))
    if not 0 < len(body) <= MAX_BATCH:
        return _respond(_failure(None, RpcError(INVALID_REQUEST, f"a batch has 1 to {MAX_BATCH} requests")))
    answers = [answer for answer in (_answer(node(), item) for item in body) if answer is not None]
    return _respond(answers or None)


@blueprint.route("/rpc", methods=["OPTIONS"])
def preflight() -> ResponseReturnValue:
    """Let browsers ask whether they may call.
    ---
    options:
      summary: CORS preflight of /rpc
      responses: {'204': {description: They may.}}
    """
    return _cors(Response(status=204))


def _answer(here: Node, item: Any) -> dict[str, Any] | None:
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
        result = _call(here, name, [] if params is None else params)
    except RpcError as error:
        response = _failure(identifier, error)
    except NodeError as error:
        response = _failure(identifier, refusal(error))
    else:
        response = {"jsonrpc": "2.0", "id": identifier, "result": result}
    return response if "id" in item else None


def _call(here: Node, name: str, params: Any) -> Any:
    known = METHODS.get(name)
    if known is None:
        # ethers and viem look for this text to fall back.
        shown = name if name.isidentifier() and len(name) <= 64 else "named"
        raise RpcError(METHOD_NOT_FOUND, f"the method {shown} does not exist/is not available")
    if not here.rules.has_accounts:
        raise RpcError(REFUSED, "wallets need a chain with the standard rules; this one has the tutorial's")
    if not isinstance(params, list):
        raise RpcError(INVALID_PARAMS, "params is a list")
    if not known.least <= len(params) <= known.most:
        raise RpcError(INVALID_PARAMS, f"{name} takes {known.least} to {known.most} parameters")
    return known.function(here, *params)


def _failure(identifier: Any, error: RpcError) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identifier, "error": error.to_object()}


def _respond(value: Any) -> Response:
    text = "" if value is None else json.dumps(value)
    return _cors(Response(text, mimetype="application/json"))


def _cors(response: Response) -> Response:
    """Any page may speak to a wallet endpoint: it holds no secrets and signs nothing."""
    response.headers["Access-Control-Allow-Origin"] = request.headers.get("Origin", "*")
    response.headers["Vary"] = "Origin"
    response.headers["Access-Control-Allow-Methods"] = "POST, OPTIONS"
    response.headers["Access-Control-Allow-Headers"] = "content-type"
    response.headers["Access-Control-Max-Age"] = "600"
    return response
