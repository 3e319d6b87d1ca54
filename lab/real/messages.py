"""HTTP as it passes through the router: requests taken apart, and answers watched for their end.

httptools (llhttp, as in Node.js) parses both. A request is written anew for the node; an answer passes byte by byte.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

import httptools

# Of a request's line and headers.
MAX_HEAD = 32_768


class BadRequest(Exception):
    """What a client sent is no request to a proxy."""


@dataclass(slots=True)
class Head:
    """A request without its body."""

    method: str
    host: str  # that is asked for, without brackets
    port: int
    path: str  # with query; "" for CONNECT
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    chunked: bool = False
    keeps_alive: bool = True  # whether the client may send another request on its connection

    def to_bytes(self) -> bytes:
        """The request as the node gets it: the origin form, without what is meant for the proxy."""
        lines = [f"{self.method} {self.path} HTTP/1.1".encode("latin-1")]
        lines += [b"%s: %s" % pair for pair in self.headers if not pair[0].lower().startswith(b"proxy-")]
        return b"\r\n".join([*lines, b"", b""])


Event = Head | bytes | Literal["end"]  # bytes: of the body


class Requests:
    """Takes a client's bytes and gives its requests, piece by piece."""

    def __init__(self) -> None:
        self.events: deque[Event] = deque()
        self.tunnelled: bytes | None = None  # what followed a CONNECT, or an upgrade; then no more is parsed
        self._parser = httptools.HttpRequestParser(self)
        self._in_head = True
        self._head_bytes = 0
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._chunked = False

    def feed(self, data: bytes) -> None:
        """Raises `BadRequest`."""
        if self._in_head:  # the parser has no limit of its own
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.tunnelled = data[upgrade.args[0] :]
        except httptools.HttpParserError as error:  # also where a callback below has raised
            raise BadRequest from error
        if self._in_head and self._head_bytes > MAX_HEAD:
            raise BadRequest

    # --- called by the parser ---

    def on_message_begin(self) -> None:
        self._in_head, self._url, self._headers, self._chunked = True, b"", [], False

    def on_url(self, piece: bytes) -> None:
        self._url += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._in_head, self._head_bytes = False, 0
        method = self._parser.get_method().decode("ascii")
        names = [name.lower() for name, _ in self._headers]
        if names.count(b"host") > 1 or (self._parser.get_http_version() == "1.1" and b"host" not in names):
            raise BadRequest
        chunked = b"transfer-encoding" in names
        head = _head(method, self._url, self._headers, chunked)
        head.keeps_alive = bool(self._parser.should_keep_alive())
        self.events.append(head)

    def on_body(self, piece: bytes) -> None:
        self.events.append(piece)

    def on_message_complete(self) -> None:
        self.events.append("end")


def _head(method: str, url: bytes, headers: list[tuple[bytes, bytes]], chunked: bool) -> Head:
    try:
        text = url.decode("ascii")
        parts = urlsplit(f"//{text}" if method == "CONNECT" else text)
        port = parts.port
        host = parts.hostname
    except ValueError:
        raise BadRequest from None
    if method == "CONNECT":
        if not host or port is None or parts.path or parts.query or "@" in text:
            raise BadRequest
        return Head(method, host, port, "", headers, chunked)
    if parts.scheme != "http" or not host or "@" in parts.netloc or parts.fragment or "#" in text:
        raise BadRequest
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Head(method, host, 80 if port is None else port, path, headers, chunked)


class Answer:
    """Watches a node's answer for its end. What is no HTTP ends with the connection."""

    def __init__(self, *, to_head: bool) -> None:
        """`to_head`: the answer is to HEAD, and so has no body, whatever its headers say."""
        self.complete = False
        self.keeps_alive = False
        self.upgraded = False
        self._blind = to_head
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        if self._blind:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.upgraded = self._blind = True
        except httptools.HttpParserError:
            self.complete, self.keeps_alive, self._blind = False, False, True

    # --- called by the parser ---

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() >= 200:  # 1xx: the answer is still to come
            self.keeps_alive = bool(self._parser.should_keep_alive()) and not self.complete
            self.complete = True
