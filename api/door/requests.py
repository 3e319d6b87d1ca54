"""HTTP requests as they arrive, what is refused of them, and the heads of answers."""

import json
from collections.abc import Collection
from typing import NamedTuple

from api.door.limits import MAX_HEAD
from api.serving.header_fields import ANY_ORIGIN, SAFETY
from api.serving.hosts import Hosts, name_of

PATHS = frozenset({b"/", b"/rpc"})
# Supervisors and health checks ask these by IP address, so any Host is accepted, as on the API.
PROBES = frozenset({b"/healthz", b"/readyz"})
_FIELDS = b"".join(f"{name}: {value}\r\n".encode() for name, value in (*SAFETY, *ANY_ORIGIN))
JSON, PROBLEM = b"content-type: application/json\r\n", b"content-type: application/problem+json\r\n"
PHRASES = {
    200: b"OK", 204: b"No Content", 400: b"Bad Request", 401: b"Unauthorized", 403: b"Forbidden", 404: b"Not Found",
    405: b"Method Not Allowed", 408: b"Request Timeout", 411: b"Length Required", 413: b"Content Too Large",
    415: b"Unsupported Media Type", 422: b"Unprocessable Content", 429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error", 503: b"Service Unavailable",
}  # fmt: skip
# The status line of each answer, and the fields that all answers have.
STARTS = {
    status: b"HTTP/1.1 %d %s\r\nserver: quarry\r\n%s" % (status, phrase, _FIELDS) for status, phrase in PHRASES.items()
}


class Refusal(NamedTuple):
    """Why a request is not answered."""

    status: int
    code: str
    detail: str
    fields: bytes = b""  # further header fields

    def problem(self) -> bytes:
        """The body of the answer: a problem (RFC 9457), as of the API."""
        body = {
            "type": f"urn:quarry:problem:{self.code}",
            "title": PHRASES[self.status].decode(),
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }
        return json.dumps(body).encode()


class Received:
    """One request."""

    __slots__ = ("body", "fields", "keep", "large", "method", "path", "size")

    def __init__(self) -> None:
        self.method = b""
        self.path = b""
        self.fields: dict[bytes, bytes] = {}
        self.size = 0  # bytes of the head
        self.body = bytearray()
        self.keep = True  # the connection goes on after the answer
        self.large = False  # the body is longer than other requests may have

    def head(self, method: bytes, version: str, without: Collection[bytes] = ()) -> bytes:
        """The head again, for another parser. `without`: names of fields that are left out."""
        fields = [b"%s: %s\r\n" % item for item in self.fields.items() if item[0] not in without]
        return b"".join((method, b" ", self.path, b" HTTP/", version.encode(), b"\r\n", *fields, b"\r\n"))

    @property
    def length(self) -> int:
        """Bytes that the body will have. `length_refusal` refuses requests that do not say so."""
        return int(self.fields.get(b"content-length", b"0"))

    def text(self, name: bytes) -> str | None:
        found = self.fields.get(name)
        return None if found is None else found.decode("latin-1")


HEAD_TOO_LARGE = Refusal(431, "head_too_large", f"The head of a request has {MAX_HEAD} bytes at most.")

ANOTHER_LARGE = Refusal(503, "too_many_bodies", "Another large body is being received or answered; try again.")
OTHER_METHOD = Refusal(
    405, "method_not_allowed", "Send JSON-RPC by POST, or open a WebSocket.", b"allow: POST, OPTIONS\r\n"
)


def method_refusal(path: bytes, method: bytes) -> Refusal | None:
    """Why a request is refused by its path and its method."""
    if path not in PATHS:
        return Refusal(404, "not_found", "JSON-RPC is at / and at /rpc, by POST or over a WebSocket.")
    return None if method in (b"POST", b"OPTIONS") else OTHER_METHOD


def wrong_body(request: Received) -> str | None:
    """Why a body cannot be read: the sentences of the API (api/reading.py)."""
    kind = request.fields.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/json":
        return "Send Content-Type: application/json."
    if request.fields.get(b"content-encoding", b"identity").lower() != b"identity":
        return "Send the body uncompressed."
    return None


def large_refusal(request: Received, most: int) -> Refusal | None:
    """Why a body of more than `most` bytes is refused although it was received."""
    return too_large(most) if request.large and wrong_body(request) is not None else None


def length_refusal(request: Received, most: int) -> Refusal | None:
    """Why a request is refused by its head alone. `most`: bytes of a body."""
    length = request.fields.get(b"content-length", b"0")
    if request.size > MAX_HEAD:
        return HEAD_TOO_LARGE
    if b"transfer-encoding" in request.fields:
        return Refusal(411, "length_required", "The request must say the length of its body (Content-Length).")
    if not (length.isdigit() and len(length) < 12):
        return Refusal(400, "bad_length", "Content-Length must be a whole number.")
    return too_large(most) if request.length > most else None


def too_large(most: int) -> Refusal:
    """The refusal of a body of more than `most` bytes."""
    return Refusal(413, "too_large", f"A body may have {most} bytes at most.")


def upgrade_refusal(request: Received, hosts: Hosts, *, busy: bool) -> Refusal | None:
    """Why a WebSocket is not opened. `busy`: a request of the connection is not answered yet."""
    refusal = host_refusal(request, hosts)
    if refusal is None and request.path.partition(b"?")[0] not in PATHS:
        return Refusal(404, "not_found", "WebSockets open at / and at /rpc.")
    if refusal is None and busy:
        return Refusal(400, "bad_request", "A WebSocket cannot open while a request is being answered.")
    return refusal


def host_refusal(request: Received, hosts: Hosts) -> Refusal | None:
    """Why a request is refused by its Host."""
    host = request.text(b"host")
    if not host or "," in host:  # repeated fields are joined with commas; no name has one
        return Refusal(400, "bad_host", "The request must have exactly one Host header.")
    if not hosts.answers_for(name_of(host)):
        return Refusal(403, "host_refused", "The Host header names a host that this node does not answer for.")
    return None
