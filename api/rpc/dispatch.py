"""`POST /rpc` over HTTP: a view for every case, and a door in front of it for the usual one.

Wallets poll, so most requests ask for one small number. Flask's own work on a request costs more than finding that
number does. The door answers well-formed requests before Flask sees them; whatever it does not recognise goes the long
way, where every refusal is made.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any, cast

from flask import Blueprint, Flask, Response, current_app, request
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue

from api.access import node
from api.errors import HttpRefusal
from api.reading import json_body
from api.rest import metrics
from api.rpc import protocol
from api.rpc.errors import INVALID_REQUEST, PARSE_ERROR
from api.serving.gate import RECEIVED
from services.node import Node
from shared.errors import InputError

blueprint = Blueprint("rpc", __name__)

WsgiApp = Callable[[dict[str, Any], Any], Iterable[bytes]]

PATH = "/rpc"
# Any page may speak to a wallet endpoint: it holds no secrets and signs nothing.
_CORS = (
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Methods", "POST, OPTIONS"),
    ("Access-Control-Allow-Headers", "content-type"),
    ("Access-Control-Max-Age", "600"),
)
# As the application hardens every response (api/app.py); what is no page needs no policy for its content.
_HEADERS = (
    ("Content-Type", "application/json"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
    *_CORS,
)
_TYPES = frozenset({"application/json", "application/json; charset=utf-8", "application/json;charset=utf-8"})
_MAX_HOSTS = 64


@blueprint.post(PATH, provide_automatic_options=False)  # Flask's own would say nothing to browsers
def rpc() -> ResponseReturnValue:
    """Answer JSON-RPC.
    ---
    post:
      summary: Ethereum JSON-RPC 2.0, for wallets
      description: >-
        Single requests and batches of up to 50. Always 200, errors are JSON-RPC error objects; a notification gets an
        empty body.
      requestBody:
        required: false
        json: RpcCall
      responses:
        '200': {description: A JSON-RPC response or a list of them., json: RpcAnswer}
    """
    door: RpcDoor = current_app.extensions["quarry.rpc"]
    door.learn(request.environ.get("HTTP_HOST"))
    try:
        return _respond(protocol.answer_value(node(), json_body(floats=True)))
    except InputError as error:
        return _respond(protocol.refused(PARSE_ERROR, f"parse error: {error.message}"))
    except HttpRefusal as error:
        if error.status in (411, 413):
            raise
        return _respond(protocol.refused(INVALID_REQUEST, error.message))


@blueprint.route(PATH, methods=["OPTIONS"])
def preflight() -> ResponseReturnValue:
    """Let browsers ask whether they may call.
    ---
    options:
      summary: CORS preflight of /rpc
      responses: {'204': {description: They may.}}
    """
    return Response(status=204, headers=list(_CORS))


def _respond(body: bytes) -> Response:
    return Response(body, mimetype="application/json", headers=list(_CORS))


class RpcDoor:
    """A WSGI application that answers usual requests to `/rpc` itself, and hands everything else on."""

    def __init__(self, inner: WsgiApp, here: Node) -> None:
        self._inner = inner
        self._node = here
        self._hosts: set[str] = set()
        self._seconds = metrics.request_seconds("POST", PATH, "200")

    def learn(self, host: str | None) -> None:
        """A Host header that the doorkeeper has let in: the next request that has it need not ask again."""
        if host is not None and len(self._hosts) < _MAX_HOSTS:
            self._hosts.add(host)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != PATH or not self._is_usual(environ):
            return self._inner(environ, start_response)
        began = time.perf_counter()
        answer = protocol.answer(self._node, environ["wsgi.input"].read())
        start_response("200 OK", [*_HEADERS, ("Content-Length", str(len(answer)))])
        self._seconds.observe(time.perf_counter() - began)
        return [answer]

    def _is_usual(self, environ: dict[str, Any]) -> bool:
        return (
            environ.get("REQUEST_METHOD") == "POST"
            and RECEIVED in environ
            and environ.get("HTTP_HOST") in self._hosts
            and environ.get("CONTENT_TYPE") in _TYPES
            and "HTTP_CONTENT_ENCODING" not in environ
        )


@blueprint.record_once
def _open_door(state: BlueprintSetupState) -> None:
    app = cast(Flask, state.app)
    door = RpcDoor(app.wsgi_app, app.extensions["quarry"])
    app.extensions["quarry.rpc"] = door
    app.wsgi_app = door  # type: ignore[method-assign] # Flask's own way to put something in front
