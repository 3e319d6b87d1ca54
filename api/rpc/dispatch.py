"""`POST /rpc`: a Flask view for every request, and a WSGI middleware in front of it for the usual ones.

Wallets poll, so most requests ask for one small number, and Flask takes longer than finding that number. The middleware
answers well-formed requests itself, and passes on all others, so every refusal is made by the view.
"""

import contextlib
import time
from collections.abc import Iterable
from typing import Any, cast

from flask import Blueprint, Flask, Response, request
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue

from api.access import Served, current_node, learn_host, served
from api.cors import RPC_PATH
from api.errors import HttpRefusal
from api.reading import json_body
from api.rpc import protocol
from api.rpc.caller import may_control
from api.rpc.errors import INVALID_REQUEST, PARSE_ERROR
from api.serving.gate import LARGE_BODY, RECEIVED
from api.serving.header_fields import ANY_ORIGIN, SAFETY
from api.serving.request_metrics import request_seconds
from api.serving.runner import WsgiApp
from services.settings.table import Settings
from shared.errors import InputError

blueprint = Blueprint("rpc", __name__)

# Without the Content-Security-Policy, which is for pages.
_HEADERS = (("Content-Type", "application/json"), *SAFETY, *ANY_ORIGIN)
_TYPES = frozenset({"application/json", "application/json; charset=utf-8", "application/json;charset=utf-8"})


@blueprint.post(RPC_PATH, provide_automatic_options=False)  # Flask's own answer to OPTIONS has no CORS headers
def rpc() -> ResponseReturnValue:
    """Answer JSON-RPC.
    ---
    post:
      summary: Ethereum JSON-RPC 2.0, for wallets
      description: >-
        Single requests, and batches of up to 50. The status is always 200: errors are JSON-RPC error objects. The
        answer to a notification is empty.
      requestBody:
        required: false
        json: RpcCall
      responses:
        '200': {description: 'A JSON-RPC response, or a list of them.', json: RpcAnswer}
    """
    learn_host()
    try:
        node = current_node()
        controls = may_control(node.settings, request.headers.get("Origin"))
        return _respond(protocol.answer_value(node, _value(node.settings.max_body), controls))
    except InputError as error:
        return _respond(protocol.refused(PARSE_ERROR, f"parse error: {error.message}"))
    except HttpRefusal as error:
        if error.status in (411, 413):
            raise
        return _respond(protocol.refused(INVALID_REQUEST, error.message))


def _value(max_body: int) -> Any:
    """The JSON value of the request. A body of more than `max_body` bytes is refused, unless it may be large.

    Raises:
        InputError, HttpRefusal
    """
    if LARGE_BODY not in request.environ:
        return json_body(floats=True)
    with contextlib.suppress(InputError, HttpRefusal):
        value = json_body(floats=True)
        if protocol.takes_large_body(value):
            return value
    raise HttpRefusal(413, "too_large", f"A body may have {max_body} bytes at most.")


@blueprint.route(RPC_PATH, methods=["OPTIONS"])
def preflight() -> ResponseReturnValue:
    """Let browsers ask whether they may call.
    ---
    options:
      summary: CORS preflight of /rpc
      responses: {'204': {description: Browsers may call.}}
    """
    return Response(status=204, headers=list(ANY_ORIGIN))


@blueprint.post("/", provide_automatic_options=False)
def elsewhere() -> ResponseReturnValue:
    """Tell a wallet where JSON-RPC is.
    ---
    post:
      summary: A JSON-RPC error that says where JSON-RPC is
      description: >-
        Wallets and tools are often given the address of a node without a path. The answer is an error for each request,
        so that they can show it.
      requestBody:
        required: false
        json: RpcCall
      responses:
        '200': {description: 'A JSON-RPC error, or a list of them.', json: RpcAnswer}
    """
    try:
        value = json_body(floats=True)
    except (InputError, HttpRefusal):
        value = None
    return _respond(protocol.refused_all(value, INVALID_REQUEST, "JSON-RPC is at /rpc"))


@blueprint.route("/", methods=["OPTIONS"])
def preflight_elsewhere() -> ResponseReturnValue:
    """Let browsers read where JSON-RPC is.
    ---
    options:
      summary: CORS preflight of POST /
      responses: {'204': {description: Browsers may call.}}
    """
    return preflight()


def _respond(body: bytes) -> Response:
    return Response(body, mimetype="application/json", headers=list(ANY_ORIGIN))


def takes_large_body(settings: Settings, environ: dict[str, Any]) -> bool:
    """Whether a request may have a large body, as far as its head tells: `protocol.takes_large_body` reads the rest."""
    return (
        environ.get("PATH_INFO") == RPC_PATH
        and environ.get("REQUEST_METHOD") == "POST"
        and may_control(settings, environ.get("HTTP_ORIGIN"))
    )


class RpcDoor:
    """A WSGI middleware that answers the usual requests to `/rpc` and passes on all others."""

    def __init__(self, inner: WsgiApp, what: Served) -> None:
        self._inner = inner
        self._node = what.node
        self._hosts = what.hosts
        self._seconds = request_seconds("POST", RPC_PATH, "200")

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != RPC_PATH or not self._is_usual(environ):
            return self._inner(environ, start_response)
        began = time.perf_counter()
        controls = may_control(self._node.settings, environ.get("HTTP_ORIGIN"))
        answer = protocol.answer(self._node, environ["wsgi.input"].read(), controls)
        start_response("200 OK", [*_HEADERS, ("Content-Length", str(len(answer)))])
        self._seconds.observe(time.perf_counter() - began)
        return [answer]

    def _is_usual(self, environ: dict[str, Any]) -> bool:
        return (
            environ.get("REQUEST_METHOD") == "POST"
            and RECEIVED in environ
            and LARGE_BODY not in environ
            and environ.get("HTTP_HOST") in self._hosts
            and environ.get("CONTENT_TYPE") in _TYPES
            and "HTTP_CONTENT_ENCODING" not in environ
        )


@blueprint.record_once
def _open_door(state: BlueprintSetupState) -> None:
    app = cast(Flask, state.app)
    app.wsgi_app = RpcDoor(app.wsgi_app, served(app))  # type: ignore[method-assign] # Flask's documented way to wrap an application
