"""Every error as RFC 9457 problem+json: a stable code, one sentence and the field, but no traceback and no input."""

from typing import Any, Literal, get_args

import structlog
from flask import Flask, Response, json, request
from werkzeug.exceptions import HTTPException

from services.connections.failures import FAILURES
from services.connections.servers import RedisError
from services.errors import Busy, Damaged, LedgerDiffers, NotBegun, NotFound, PolicyCode, Pruned, TipMoved
from services.mining.leases import UnknownLease, UnknownVoucher
from shared.errors import InputCode, NodeError, Refusal, RuleCode, ShapeError, TooEarly

_log = structlog.get_logger(__name__)

HttpCode = Literal[
    # what may be asked, and by whom
    "admin_token_required",
    "bad_host",
    "cross_site",
    "host_refused",
    "not_asked_for",
    "read_only",
    "scope_missing",
    # the body
    "bad_length",
    "body_too_slow",
    "encoded_body",
    "incomplete_body",
    "length_required",
    "too_large",
    "wrong_content_type",
    # the connection (api/door)
    "head_too_large",
    "head_too_slow",
    "too_many_connections",
    # what is not there
    "no_faucet",
    "no_headers",
    "no_merkle_root",
    "not_found",
    "nothing_found",
    "unknown_address",
    "unknown_asset",
    "unknown_block",
    "unknown_job",
    "unknown_lease",
    "unknown_name",
    "unknown_round",
    "unknown_tip",
    "unknown_token",
    "unknown_transaction",
    "unknown_voucher",
    # the rest
    "bad_argument",
    "internal_error",
    "ledger_differs",
    "not_begun",
    "peer_failed",
    "pruned",
    "record_damaged",
    "round_cancelled",
    "store_unavailable",
    "tip_moved",
    "too_early",
    "unavailable",
]

# Every code of ours that an answer can have. Flask's own refusals add the names of HTTP statuses (`http_problem`).
CODES = frozenset[str]((*get_args(RuleCode), *get_args(InputCode), *get_args(PolicyCode), *get_args(HttpCode)))

# Codes of `Busy` that tell the client to slow down (429). The others tell it that this node is full (503).
_TOO_MANY = frozenset({"too_many_requests", "contended", "too_many_leases", "too_many_streams", "too_many_waiting"})
_TITLES = {
    400: "Bad request",
    401: "Not authorised",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    408: "Too slow",
    409: "Conflict",
    410: "Gone",
    411: "Length required",
    413: "Too large",
    415: "Unsupported media type",
    422: "Wrong fields",
    429: "Too many requests",
    500: "Internal error",
    503: "Unavailable",
}


class HttpRefusal(Refusal):
    """A request that is refused with an HTTP status of its own, such as 403 or 415."""

    def __init__(self, status: int, code: HttpCode, message: str) -> None:
        super().__init__(code, message)
        self.status = status


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
    if code == "unknown_voucher":
        response.headers["WWW-Authenticate"] = 'Bearer realm="quarry"'  # no password, which a browser would ask for
    elif status == 401:
        challenge(response)
    if status in (429, 503):
        response.headers["Retry-After"] = "1"
    return response


def challenge(response: Response) -> None:
    """Add how to log in, one header line per scheme: with both on one line, Chromium does not ask for a password."""
    response.headers.setlist("WWW-Authenticate", ['Basic realm="quarry", charset="UTF-8"', 'Bearer realm="quarry"'])


def asks_for_page() -> bool:
    """Whether a browser asks for a page. Programs do not name text/html; `*/*` does not count."""
    return request.method in ("GET", "HEAD") and "text/html" in request.headers.get("Accept", "").lower()


def describe(error: NodeError) -> tuple[int, str, str, str | None]:
    """Status, code, sentence and field of a refusal. Batches report the last three per transaction."""
    match error:
        case HttpRefusal():
            return error.status, error.code, error.message, error.field
        case ShapeError():
            return 422, error.code, error.message, error.field
        case Busy():
            return (429 if error.code in _TOO_MANY else 503), error.code, error.message, error.field
        case Refusal():
            return 400, error.code, error.message, error.field
        case NotBegun():
            return 503, "not_begun", str(error), None
        case LedgerDiffers():
            return 503, "ledger_differs", str(error), None
        case Pruned():
            return 410, "pruned", str(error), None
        case Damaged():
            return 503, "record_damaged", str(error), None
        case UnknownVoucher():
            return 401, "unknown_voucher", str(error), None
        case UnknownLease():
            return 404, "unknown_lease", str(error), None
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


def answer_to(error: Exception) -> Response:
    """The response for what was raised while a request was answered. What the client cannot mend is logged."""
    match error:
        case NodeError():
            return problem(*describe(error))
        case RedisError():
            FAILURES.note(error)
            return problem(
                503, "store_unavailable", "The store does not answer. A transaction can be sent again: it counts once."
            )
        case HTTPException():
            return http_problem(error)
        case _:
            _log.exception("bug", error=type(error).__name__)
            return problem(500, "internal_error", "A fault of ours; it has been logged.")


def install(app: Flask) -> None:
    """Map what is raised in a view to its response."""
    for kind in (NodeError, RedisError, HTTPException, Exception):
        app.register_error_handler(kind, answer_to)
