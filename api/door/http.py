"""Connections that speak HTTP/1.1. httptools (llhttp, as in Node.js) parses; here is what is allowed and answered."""

import asyncio
from collections import deque
from typing import cast

import httptools

from api.door import limits, sockets
from api.door.answering import Answering
from api.door.door import Door
from api.door.gathering import receive
from api.door.job import Request
from api.door.leases import is_lease, serve
from api.door.probes import probe
from api.door.requests import (
    ANOTHER_LARGE,
    HEAD_TOO_LARGE,
    JSON,
    OTHER_METHOD,
    PROBES,
    Received,
    Refusal,
    host_refusal,
    large_refusal,
    length_refusal,
    method_refusal,
    too_large,
    upgrade_refusal,
    wrong_body,
)  # fmt: skip
from api.door.websocket import WebSocket
from api.rpc import protocol
from api.rpc.caller import may_control
from api.rpc.errors import INVALID_REQUEST, LIMIT_EXCEEDED


class HttpConnection(Answering):
    """One connection. Its requests are answered one after the other."""

    def __init__(self, door: Door) -> None:
        super().__init__(door)
        self._parser = httptools.HttpRequestParser(self)
        self._request = Received()  # that arrives
        self._raw = 0  # bytes since its head began
        self._stage = "head"  # what arrives: "head", "body", or nothing: "idle"
        self._waiting: deque[Received] = deque()
        self._large: Request | None = None  # an answer that holds something until it is sent
        self._held = 0  # bytes counted in `door.arriving`
        self._data = b""  # what has just arrived, if nothing came before it and no other request is being answered
        self._gathered = -1  # the descriptor, while the connection is read with those of other miners

    # --- asyncio's callbacks ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        sockets.prepare(self._transport)
        full = self.door.connections >= limits.MAX_CONNECTIONS
        self.door.callers.add(self)
        if full or self.door.ending:
            self.refuse(Refusal(503, "too_many_connections", "This node has too many connections; try again."))

    def connection_lost(self, error: Exception | None) -> None:
        self._over = True
        self._scatter()
        self.door.callers.discard(self)
        self._let_go()
        self._give_back()
        self._ended()

    def data_received(self, data: bytes) -> None:
        if self._over:
            return  # thrown away: the client may still be sending what was refused
        starts = self._stage == "idle" and not (self._busy or self._waiting or self._paused)
        if starts and (request := self.door.known_heads.read(data)) is not None:
            self._since, self._data = self.door.now, b""
            serve(self, request)
            return
        if self._stage == "idle":
            self._stage, self._since, self._raw = "head", self.door.now, 0
        self._raw += len(data)
        self._data = data if starts else b""
        while data and not self._over:
            data = self._parse(data)

    def eof_received(self) -> bool:
        self._half_closed = True
        return self._busy and not self._streams  # an answer that is being made is still sent

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._give_back()
        self._next()

    def _parse(self, data: bytes) -> bytes:
        """Have the parser read. Returns what another parser has to read, after a wish for another protocol."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return self._upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            if not self._over:
                self.refuse(Refusal(400, "bad_request", "This is not a request of HTTP/1.1."))
        else:
            if self._stage == "head" and self._raw > limits.MAX_HEAD and not self._over:
                self.refuse(HEAD_TOO_LARGE)
        return b""

    # --- the parser's callbacks ---

    def on_message_begin(self) -> None:
        self._request = Received()

    def on_url(self, url: bytes) -> None:
        self._request.path += url
        self._request.size += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        name, request = name.lower(), self._request
        request.size += len(name) + len(value) + 4
        if name in request.fields:
            value = request.fields[name] + b", " + value
        request.fields[name] = value

    def on_headers_complete(self) -> None:
        request = self._request
        self._stage, self._since = "body", self.door.now
        refusal = length_refusal(request, self.door.most(request))
        if refusal is None and request.length > self.door.max_body:
            request.large = self.door.begin_large(self)
            refusal = None if request.large else ANOTHER_LARGE
        if refusal is not None and not self._over:
            self._refuse_arriving(refusal)
        elif request.fields.get(b"expect", b"").lower() == b"100-continue" and not self._busy:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, part: bytes) -> None:
        if self._over:
            return
        if not self._request.large and not self.door.has_room(len(part)):
            self.door.count_end("too_many_bodies")
            self.refuse(Refusal(503, "too_many_bodies", "Too many requests are being received at once; try again."))
            return
        self._hold(0 if self._request.large else len(part))
        self._request.body += part

    def on_message_complete(self) -> None:
        self._stage, self._since = "idle", self.door.now
        if self._over or self._parser.should_upgrade():
            return
        request = self._request
        request.method, request.keep = self._parser.get_method(), self._parser.should_keep_alive()
        self._waiting.append(request)
        if self._busy or self._paused:
            self._scatter()
            self._transport.pause_reading()
        else:
            self._next()

    # --- requests ---

    def _next(self) -> None:
        """Begin the next request, unless one is being answered or the client does not take its answers."""
        while self._waiting and not (self._busy or self._paused or self._over):
            self._serve(self._waiting.popleft())
        if not (self._waiting or self._busy or self._paused or self._over or self._gathered >= 0):
            self._transport.resume_reading()

    def _serve(self, request: Received) -> None:
        self._hold(0 if request.large else -len(request.body))
        path = request.path.partition(b"?")[0]
        self._is_head = request.method == b"HEAD"
        if not is_lease(path):
            self._scatter()
        if path in PROBES and request.method in (b"GET", b"HEAD"):
            self.door.end_large(self)  # its body is not used
            probe(self, request, path)
        elif (refusal := host_refusal(request, self.door.hosts)) is None and is_lease(path):
            serve(self, request)
        elif (refusal := refusal or method_refusal(path, request.method)) is not None:
            self.refuse(refusal)
        elif (refusal := large_refusal(request, self.door.max_body)) is not None:
            self.refuse(refusal)
        elif request.method == b"OPTIONS":
            self.answer(204, b"", b"", request.keep)
        elif (wrong := wrong_body(request)) is not None:
            self.answer(200, JSON, protocol.refused(INVALID_REQUEST, wrong), request.keep)
        else:
            controls = may_control(self.door.node.settings, request.text(b"origin"))
            keep = request.keep

            def send(done: Request) -> None:
                if done.refused:
                    self.refuse(too_large(self.door.max_body))
                else:
                    self.answer(200, JSON, done.answer, keep)

            self.ask(bytes(request.body), controls, send, keep, is_large=request.large)
        if not self._busy:
            self.door.end_large(self)

    def ask(self, body: bytes, controls: bool, send: "sockets.Send", keep: bool, *, is_large: bool = False) -> None:
        """Have a request answered by the dispatcher, and the answer sent."""

        def answered(done: Request) -> None:
            self._busy = False
            self.door.end_large(self)
            if self._over:
                done.close()
                return
            self._hold(0 if is_large else -done.size)
            self._large = done
            send(done)
            if not self._paused:
                self._give_back()
            self._next()

        request = Request(self.door.node, self.door.budget, body, controls, answered, is_large=is_large)
        self.door.requests += 1
        if self.door.pool.submit(request):
            self._busy = True
            self._hold(0 if is_large else request.size)
        else:
            self.answer(200, JSON, protocol.refused(LIMIT_EXCEEDED, "too many requests wait: try again"), keep)

    # --- connections of miners ---

    def gather(self, request: Received) -> None:
        """Have the connection, on which a miner's request was answered, read with those of other miners."""
        if self._data:
            self.door.known_heads.learn(self._data, request)
            self._data = b""
        if self._gathered >= 0 or self._over or self._busy or self._waiting or self._paused or self._half_closed:
            return
        descriptor: int = self._transport.get_extra_info("socket").fileno()
        if not self._transport.is_closing() and self.door.lease_batches.gather(self, descriptor):
            self._gathered = descriptor
            self._transport.pause_reading()

    def read(self, descriptor: int, *, ends: bool) -> None:
        """Read what has arrived. `ends`: the client sends no more; asyncio reads the rest, and learns that too."""
        size = 0 if ends else receive(descriptor, self.door.buffer)
        if size > 0:
            self.buffer_updated(size)
        if size in (0, len(self.door.buffer)):  # there may be more
            self._scatter()

    def _scatter(self) -> None:
        """Have asyncio read the connection again."""
        if self._gathered >= 0:
            self.door.lease_batches.gathering.remove(self._gathered)
            self._gathered = -1
            self._transport.resume_reading()

    # --- WebSockets ---

    def _upgrade(self, rest: bytes) -> bytes:
        """The request asks for another protocol: WebSockets begin, and any other wish is passed over. Returns what
        another parser has to read.
        """
        request, door = self._request, self.door
        self._scatter()
        if self._over:
            return b""
        if self._parser.get_method() == b"CONNECT":  # a wish for another protocol, whatever its fields say
            self._refuse_arriving(OTHER_METHOD)
            return b""
        if b"websocket" not in request.fields.get(b"upgrade", b"").lower():
            # The parser takes no body of such a request, so it reads the request again, without the wish.
            again = request.head(self._parser.get_method(), "1.1", without=(b"upgrade", b"connection")) + rest
            self._parser = httptools.HttpRequestParser(self)
            self._stage, self._raw, self._data = "head", len(again), b""
            return again
        busy = self._busy or bool(self._waiting)
        if (refusal := upgrade_refusal(request, door.hosts, busy=busy)) is None and len(
            door.sockets
        ) >= limits.MAX_SOCKETS:
            door.count_end("too_many_sockets")
            refusal = Refusal(503, "too_many_connections", "This node has too many WebSockets; try again.")
        if refusal is not None:
            self._refuse_arriving(refusal)
            return b""
        self._over = True
        door.callers.discard(self)
        self._let_go()
        controls = may_control(door.node.settings, request.text(b"origin"))
        head = request.head(self._parser.get_method(), self._parser.get_http_version())
        WebSocket(door, self._transport, controls).open(head, rest)
        return b""

    # --- ends ---

    def look(self, patience: float) -> None:
        """End the connection if it is idle for too long, or too slow. Called about every second.

        Args:
            patience: seconds for which a client may take nothing of its answer.
        """
        waited = self.door.now - self._since
        unsent = self._transport.get_write_buffer_size()
        if self._flow.look(unsent, self.door.now) > patience:
            self._abort("slow_reader")
        elif self._over:
            if waited > limits.LINGER_SECONDS and not unsent:
                self._transport.abort()
        elif self._busy or self._waiting or unsent:
            return
        elif self._stage == "head" and waited > limits.HEAD_SECONDS:
            self._late(
                Refusal(408, "head_too_slow", f"The head of a request has {limits.HEAD_SECONDS:g} seconds at most.")
            )
        elif self._stage == "body" and waited > limits.BODY_SECONDS:
            self._late(Refusal(408, "body_too_slow", f"A body has {limits.BODY_SECONDS:g} seconds at most."))
        elif waited > limits.IDLE_SECONDS:
            self._abort("idle")

    def go_away(self) -> None:
        """End the connection, if no answer is on its way, because the process ends."""
        if not self._busy and not self._transport.get_write_buffer_size():
            self._transport.abort()

    def abort(self) -> None:
        """End the connection at once."""
        self._transport.abort()

    def _refuse_arriving(self, refusal: Refusal) -> None:
        """Refuse the request whose head has just arrived."""
        self._is_head = self._parser.get_method() == b"HEAD"
        self.refuse(refusal)

    def _let_go(self) -> None:
        """Drop what has arrived."""
        self._waiting.clear()
        self._request = Received()
        self._hold(-self._held)
        if not self._busy:
            self.door.end_large(self)

    def _hold(self, size: int) -> None:
        self._held += size
        self.door.arriving += size

    def _give_back(self) -> None:
        if self._large is not None:
            self._large.close()
            self._large = None
