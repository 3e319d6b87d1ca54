"""Every error as RFC 9457 problem+json: a stable code, one sentence, the field; never a traceback or the input."""

from typing import Any

import structlog
from flask import Flask, Response, json, request
from werkzeug.exceptions import HTTPException

from services.connections import RedisError
from services.errors import Busy, Damaged, LedgerDiffers, NotBegun, NotFound, TipMoved
from shared.errors import CodedError, NodeError, ShapeError, TooEarly

_log = structlog.get_logger(__name__)

# Codes of Busy that mean "you, slow down" rather than "this node is full".
_TOO_MANY = frozenset({"too_many_requests", "contended", "too_many_streams", "too_many_waiting"})
_TITLES = {
    400: "Bad request",
    401: "Not authorised",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    408: "Too slow",
    409: "Conflict",
    411: "Length required",
    413: "Too large",
    415: "Unsupported media type",
    422: "Wrong fields",
    429: "Too many requests",
    500: "Internal error",
    503: "Unavailable",
}


class Refusal(Exception):
    """A request that HTTP itself lets us refuse: wrong type, too large, not allowed."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail


def problem(status: int, code: str, detail: str, field: str | None = None) -> Response:
    """One problem+json response."""
    body: dict[str, Any] = {
        "type": f"urn:quarry:problem:{code}",
        "title": _TITLES.get(status, "Error"),
        "status": status,
        "code": code,
        "detail": detail,
    }
    if field is not None:
        body["field"] = field
    response = Response(json.dumps(body), status, mimetype="application/problem+json")
    if status == 401:
        challenge(response)
    if status in (429, 503):
        response.headers["Retry-After"] = "1"
    return response


def challenge(response: Response) -> None:
    """Say how to log in, with a header line for each scheme: Chromium asks nobody if both are on one line."""
    response.headers.setlist("WWW-Authenticate", ['Basic realm="quarry", charset="UTF-8"', 'Bearer realm="quarry"'])


def asks_for_page() -> bool:
    """Whether the request is a browser's for a page: programs do not name text/html, not even by `*/*`."""
    return request.method in ("GET", "HEAD") and "text/html" in request.headers.get("Accept", "").lower()


def describe(error: NodeError) -> tuple[int, str, str, str | None]:
    """Status, code, sentence and field of a refusal; also what batches report per transaction."""
    match error:
        case ShapeError():
            return 422, error.code, error.message, error.field
        case Busy():
            return (429 if error.code in _TOO_MANY else 503), error.code, error.message, error.field
        case CodedError():
            return 400, error.code, error.message, error.field
        case NotBegun():
            return 503, "not_begun", str(error), None
        case LedgerDiffers():
            return 503, "ledger_differs", str(error), None
        case Damaged():
            return 503, "record_damaged", str(error), None
        case NotFound():
            return 404, "not_found", str(error), None
        case TooEarly():
            return 400, "too_early", str(error), None
        case TipMoved():
            return 503, "tip_moved", "The chain changed meanwhile; try again.", None
        case _:
            return 503, "unavailable", str(error), None


def http_problem(error: HTTPException) -> Response:
    """What Flask itself refuses."""
    response = problem(error.code or 500, error.name.lower().replace(" ", "_"), error.description or error.name)
    for name, value in error.get_headers():
        if name == "Allow":
            response.headers["Allow"] = value
    return response


def install(app: Flask) -> None:
    """Map what is raised in a view to its response."""

    @app.errorhandler(NodeError)
    def refused(error: NodeError) -> Response:
        return problem(*describe(error))

    @app.errorhandler(Refusal)
    def not_allowed(error: Refusal) -> Response:
        return problem(error.status, error.code, error.detail)

    @app.errorhandler(RedisError)
    def store_unavailable(error: RedisError) -> Response:
        _log.error("store_unavailable", error=type(error).__name__)
        return problem(
            503, "store_unavailable", "The store does not answer. If this was a write, repeat it: that is harmless."
        )

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        return http_problem(error)

    @app.errorhandler(Exception)
    def bug(error: Exception) -> Response:
        _log.exception("bug", error=type(error).__name__)
        return problem(500, "internal_error", "A fault of ours; it has been logged.")
