"""The leases of the API (api/rest/leases.py) on the door's port, where thousands may wait for a round or for news."""

import asyncio
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

import structlog

from api import leasing
from api.door.requests import JSON, PROBLEM, Received, Refusal, too_large, wrong_body
from api.errors import HttpRefusal, describe, problem
from api.serving import intent
from services.connections.failures import FAILURES, fields
from services.connections.servers import RedisError
from services.mining.leases import Asked, Handed, Reported
from services.node import Node
from services.store.leases import Lease
from shared import wire
from shared.errors import InputError, NodeError

if TYPE_CHECKING:
    from api.door.door import Door
    from api.door.http import HttpConnection

_log = structlog.get_logger(__name__)

_MAX_WAIT: Final = 60.0  # seconds
_SECONDS = re.compile(r"[0-9]{1,4}(\.[0-9]{1,20})?")
_RETRY = b"retry-after: %d\r\n" % leasing.RETRY_SECONDS
_BEARER = b'www-authenticate: Bearer realm="quarry"\r\n'
# What the page /join is told, which comes from the API's port: what it may send, besides what pages of all sites may.
_PREFLIGHT = b"access-control-allow-headers: authorization\r\n"
_TELLING = frozenset(name.lower().encode() for name in intent.TELLING)
_STREAM = b"content-type: text/event-stream\r\nx-accel-buffering: no\r\n"


def is_lease(path: bytes) -> bool:
    """Whether a path, without its query, is one of leases."""
    return path == b"/leases" or path.startswith(b"/leases/")


def serve(connection: "HttpConnection", request: Received) -> None:
    """Answer a request for such a path, now or later."""
    path, _, query = request.path.partition(b"?")
    if request.large:
        connection.refuse(too_large(connection.door.max_body))
    elif path == b"/leases/news" and request.method in (b"GET", b"HEAD"):
        if request.method == b"HEAD":
            connection.answer(200, _STREAM, b"", request.keep)
        else:
            Listener(connection).open()
    elif request.method not in (b"POST", b"OPTIONS"):
        allow = b"allow: POST\r\n"
        connection.refuse(Refusal(405, "method_not_allowed", "Leases are asked for and reported to by POST.", allow))
    elif (refusal := _not_intended(connection.door, request)) is not None:
        connection.refuse(refusal)
    elif request.method == b"OPTIONS":
        connection.answer(204, _PREFLIGHT, b"", request.keep)
    else:
        Job(connection, request, path, query).begin()


def _not_intended(door: "Door", request: Received) -> Refusal | None:
    """Why a request is refused by the headers of a browser: as the API does. Its page /join may ask here too."""
    if _TELLING.isdisjoint(request.fields):
        return None
    settings = door.node.settings
    found = intent.judge(
        lambda name: request.text(name.lower().encode()),
        request.text(b"host") or "",
        settings.cors_origins,
        settings.port or None,
    )
    return None if found is None else Refusal(403, *found)


class Job:
    """One request of a miner: answered in a thread, with others in a batch or alone, and sent in the event loop."""

    def __init__(self, connection: "HttpConnection", request: Received, path: bytes, query: bytes) -> None:
        self._connection = connection
        self._request = request
        self._node: Node = connection.door.node
        self._path = path
        self._query = query
        self._secret = request.text(b"authorization")
        self._wrong = wrong_body(request)
        self._body = bytes(request.body)
        self.keep = request.keep
        self.seconds = 0.0  # to wait for a round
        self._asked: Asked | Handed | None = None  # what the request says; None: it was not read yet, or is refused
        self._waiter: Waiter | None = None
        self.status = 500
        self.fields = PROBLEM
        self.body = b""

    def begin(self) -> None:
        """Have the request answered. The connection takes no other meanwhile."""
        self._connection.begin()
        if not self._connection.door.lease_batches.add(self):
            self.refuse_busy()

    def read(self) -> Asked | Handed | None:
        """What the miner asks for or hands in; None if the request is refused: then the answer is made. In a thread."""
        if self._asked is None:
            try:
                self._asked = self._read()
            except NodeError as error:
                self.answer(error)
        return self._asked

    def run(self) -> None:
        """Make the answer alone: it takes more than one round trip to the store. In a thread."""
        leases = self._node.leases
        try:
            match self._asked:
                case Asked() as asked:
                    self.answer(leases.take(*asked))
                case Handed() as handed:
                    self.answer(leases.report(*handed))
        except (NodeError, RedisError) as error:
            self.answer(error)
        except Exception as error:
            _log.exception("bug", error=type(error).__name__)
            self.answer(error)

    def answer(self, found: Lease | Reported | Exception | None) -> None:
        """Make the answer of what was found. None: no round is open."""
        match found:
            case Lease():
                self.status, self.fields, self.body = 200, JSON, leasing.lease_json(found)
            case Reported():
                self.status, self.fields, self.body = 200, JSON, leasing.report_json(found)
            case None:
                self.status, self.fields, self.body = 204, _RETRY, b""
            case NodeError():
                status, code, detail, field = describe(found)
                self._refused(status, code, detail, field)
            case RedisError():
                FAILURES.note(found)
                self._refused(503, "store_unavailable", "The store does not answer; repeat the request.")
            case _:
                self._refused(500, "internal_error", "A fault of ours; it has been logged.")

    def finish(self) -> None:
        """Send the answer, or let the miner wait for a round."""
        asks_again = self.status == 204 or (self.status == 503 and self._waiter is not None)  # the store may come back
        if asks_again and self.seconds > 0 and not self._connection.is_over:
            if self._waiter is None:
                self._waiter = Waiter(self, self._connection.door.loop, self.seconds, self._expired)
                self._connection.door.lease_news.waiters.add(self._waiter)
                self._connection.door.lease_news.begin()
            self._waiter.is_asking = False
            return
        self._send()

    def refuse_busy(self) -> None:
        """Too many requests wait already."""
        self._refused(503, "too_many_waiting", "Too many requests wait; try again.")
        self._send()

    def ask_again(self) -> bool:
        """Ask for a lease again; False if too many requests wait."""
        return not self._connection.is_over and self._connection.door.lease_batches.add(self)

    def _expired(self) -> None:
        self.seconds = 0.0
        if self._waiter is None or not self._waiter.is_asking:
            self._send()

    def _send(self) -> None:
        if self._waiter is not None:
            self._waiter.end()
            self._connection.door.lease_news.waiters.discard(self._waiter)
        self._connection.end(self.status, self.fields, self.body, self.keep)
        if self.status == 200:
            self._connection.gather(self._request)

    def _read(self) -> Asked | Handed:
        secret = leasing.secret_of(self._secret)
        if self._path == b"/leases":
            self.seconds = _wait(self._query) if self._query else 0.0
            return leasing.read_wanted(self._node, secret, self._json())
        return leasing.read_report(secret, self._path.removeprefix(b"/leases/").decode("latin-1"), self._json())

    def _json(self) -> object:
        if self._wrong is not None:
            code = "wrong_content_type" if "Content-Type" in self._wrong else "encoded_body"
            raise HttpRefusal(415, code, self._wrong)  # type: ignore[arg-type] # one of two codes
        return wire.parse(self._body)

    def _refused(self, status: int, code: str, detail: str, field: str | None = None) -> None:
        self.status = status
        self.fields = PROBLEM + (_RETRY if status in (429, 503) else b"") + (_BEARER if status == 401 else b"")
        self.body = problem(status, code, detail, field).get_data()


class Waiter:
    """A miner that waits for a round. Everything belongs to the event loop."""

    def __init__(self, job: Job, loop: asyncio.AbstractEventLoop, seconds: float, expired: Callable[[], None]) -> None:
        self._job = job
        self.is_asking = False  # its request is being answered again
        self._timer = loop.call_later(seconds, expired)

    def ask(self) -> bool:
        """A round may be open: ask for a lease of it. Returns whether that is done: not if the miner has left."""
        if not self.is_asking:
            self.is_asking = self._job.ask_again()
        return self.is_asking

    def end(self) -> None:
        self._timer.cancel()


class Listener:
    """A connection that is told of each new tip until it ends."""

    def __init__(self, connection: "HttpConnection") -> None:
        self._connection = connection
        self._is_told = False  # of a tip

    def open(self) -> None:
        """Begin the stream, and have the tip of now told."""
        connection, news = self._connection, self._connection.door.lease_news
        if not connection.door.pool.submit(_FirstTip(self, connection.door.node)):
            connection.refuse(Refusal(503, "too_many_waiting", "Too many requests wait; try again."))
            return
        connection.begin()
        connection.begin_stream(_STREAM, lambda: news.listeners.discard(self))
        news.listeners.add(self)
        news.begin()

    def send(self, message: bytes) -> None:
        """Send an event of a new tip, or a comment."""
        self._is_told = self._is_told or not message.startswith(b":")
        self._connection.send_more(message)

    def send_first(self, message: bytes) -> None:
        """Send the event of the tip of the beginning, unless a tip was told meanwhile: that one is newer."""
        if not self._is_told:
            self.send(message)


class _FirstTip:
    """Reads the tip for a listener that has just come."""

    def __init__(self, listener: Listener, node: Node) -> None:
        self._listener = listener
        self._node = node
        self._message = b""

    def run(self) -> None:
        try:
            tip = self._node.chain.tip()
        except (RedisError, NodeError) as error:  # the reader tells the tip when the store is there again
            _log.warning("lease_news_interrupted", **fields(error))
            return
        self._message = leasing.tip_event(tip.hash, tip.height).encode()

    def finish(self) -> None:
        if self._message:
            self._listener.send_first(self._message)


def _wait(query: bytes) -> float:
    """Seconds of `?wait=`. Raises: InputError."""
    given = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("wait")
    if given is None:
        return 0.0
    if len(given) > 1:
        raise InputError("bad_argument", "wait must not be in the query twice.", field="wait")
    if not _SECONDS.fullmatch(given[0]) or float(given[0]) > _MAX_WAIT:
        raise InputError("bad_argument", f"wait must be seconds from 0 to {_MAX_WAIT:g}.", field="wait")
    return float(given[0])
