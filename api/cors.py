"""Cross-origin resource sharing: which pages of other sites may read this node's answers (QUARRY_CORS_ORIGINS).

`/rpc` is open to every page. The admin's endpoints are closed to every page of another site, and credentials are never
allowed. So a page of a configured origin can do what a client without the admin token can: on a loopback bind that
includes `/mine` and `/faucet`, if its browser is on this machine.
"""

from flask import Flask, Response, current_app, request
from werkzeug.exceptions import HTTPException

RPC_PATH = "/rpc"

# The admin's endpoints. They need the admin token from every machine, except `peers.register` under the tutorial's
# rules. `/rq` is an application of its own, whose requests never get here.
ADMIN = frozenset(
    {
        "mining.cancel_jobs",
        "mining.cancel_round",
        "mining.lift_limit",
        "mining.set_limit",
        "names.give",
        "names.remove",
        "peers.register",
        "peers.remove",
        "tokens.audit",
        "tokens.index",
        "tokens.new",
        "tokens.revoke",
        "vouchers.index",
        "vouchers.new",
        "vouchers.revoke",
    }
)
_METHODS = ("GET", "POST")
_HEADERS = "content-type"
_EXPOSED = "Location, Retry-After"
_AGE = "600"  # seconds for which a browser may keep the answer to a preflight


def install(app: Flask, origins: frozenset[str]) -> None:
    """Let pages of `origins` call and read the answers. Without any origin, no header is added to any answer."""
    if not origins:
        return

    def answer_preflight() -> Response | None:
        if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers:
            return None
        if _is_rpc() or not _is_open():
            return None
        return Response(status=204)

    def permit(response: Response) -> Response:
        if _is_rpc():
            return response
        # On closed answers as well: a cache must not give an answer to another origin.
        response.vary.add("Origin")
        origin = request.headers.get("Origin")
        if origin not in origins or not _is_open():
            return response
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = _EXPOSED
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            response.headers["Access-Control-Allow-Methods"] = ", ".join(_METHODS)
            response.headers["Access-Control-Allow-Headers"] = _HEADERS
            response.headers["Access-Control-Max-Age"] = _AGE
        return response

    app.before_request(answer_preflight)
    app.after_request(permit)


def _is_rpc() -> bool:
    """Whether the request is JSON-RPC, or asks whether it may send it. `POST /` says where JSON-RPC is."""
    asked = request.headers.get("Access-Control-Request-Method") if request.method == "OPTIONS" else request.method
    return request.path == RPC_PATH or (request.path == "/" and asked == "POST")


def _is_open() -> bool:
    """Whether the endpoint is open to pages of `origins`. A preflight is judged by the method that it asks about."""
    if request.path == RPC_PATH:
        return False
    method = request.headers.get("Access-Control-Request-Method") if request.method == "OPTIONS" else request.method
    if method is None:
        return True
    if method not in (*_METHODS, "HEAD"):
        return False
    return _endpoint(method) not in ADMIN


def _endpoint(method: str) -> str | None:
    try:
        endpoint, _ = current_app.url_map.bind("").match(request.path, method)
    except HTTPException:
        return None
    return str(endpoint)
