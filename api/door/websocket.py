"""WebSockets. The library `websockets` checks handshakes and frames; here is what is done with messages."""

import asyncio
import logging
from collections import deque
from collections.abc import Iterator

from websockets.frames import Frame, Opcode
from websockets.http11 import Request as Handshake
from websockets.protocol import State
from websockets.server import ServerProtocol

from api.door import sockets
from api.door.door import Door
from api.door.job import Request
from api.door.limits import (
    BODY_SECONDS,
    GOING_AWAY,
    INVALID_DATA,
    LINGER_SECONDS,
    MAX_RUNNING,
    PING_SECONDS,
    POLICY,
    PONG_SECONDS,
    SLOW_LINGER_SECONDS,
    STALLED_SECONDS,
    TRY_AGAIN,
)
from api.door.subscriptions import Call, Subscriptions
from api.rpc import protocol
from api.rpc.errors import LIMIT_EXCEEDED

# The library tells of every connection; only its faults are worth a line.
_library_log = logging.getLogger("websockets.server")
_library_log.setLevel(logging.WARNING)


class WebSocket(sockets.Receiver):
    """One WebSocket. Its requests are answered side by side, as over geth's; notifications go between the answers."""

    def __init__(self, door: Door, transport: asyncio.Transport, controls: bool) -> None:
        """`controls`: whether the client may use control methods."""
        super().__init__(door.buffer)
        self._door = door
        self._transport = transport
        self._controls = controls
        self._frames = ServerProtocol(max_size=door.max_body, logger=_library_log)
        self._message = bytearray()  # the parts of a message whose last part has not arrived
        self._in_message = False
        self._is_text = True  # the message that arrives
        self._partial = 0  # bytes of a frame that has not arrived as a whole
        self._partial_since = 0.0
        self._waiting: deque[bytes] = deque()
        self._running = 0
        self._held = 0  # bytes counted in `door.arriving`
        self._large: list[Request] = []  # answers that hold something until they are sent
        self._subscriptions = Subscriptions(door.feed)
        self._next = 0  # the number of the first step that was not begun
        self._rest: Iterator[bytes] | None = None  # the messages of the step before, if they are not all sent
        self._paused = False
        self._flow = sockets.Flow(door.now)
        self._heard = door.now
        self._pinged = door.now
        self._unanswered = False  # nothing was heard since the last ping
        self._ends_at = 0.0  # when the connection is ended whatever the client does; 0: it is open

    def open(self, head: bytes, rest: bytes) -> None:
        """Take over a connection: answer the handshake, whose head is given, and read the bytes after it."""
        self._transport.set_protocol(self)
        self._door.sockets.add(self)
        self._frames.receive_data(head)
        for event in self._frames.events_received():
            if isinstance(event, Handshake):
                self._frames.send_response(self._frames.accept(event))
        if self._frames.state is not State.OPEN:
            self._ends_at = self._door.now + LINGER_SECONDS
        self._flush()
        self._transport.resume_reading()
        if rest:
            self.data_received(rest)

    # --- asyncio's callbacks ---

    def connection_lost(self, error: Exception | None) -> None:
        self._door.sockets.discard(self)
        self._door.listeners.discard(self)
        self._subscriptions.end()
        self._hold(-self._held)
        self._waiting.clear()
        self._rest = None
        self._give_back()
        self._ends_at = self._ends_at or self._door.now

    def data_received(self, data: bytes) -> None:
        self._heard, self._unanswered = self._door.now, False
        if self._ends_at:
            return  # thrown away: the client may still be sending what was refused
        if not self._door.has_room(len(data)):
            self._fail("too_many_bodies", TRY_AGAIN, "too many requests are being received at once: try again")
            return
        if not self._partial and not self._in_message:
            self._partial_since = self._door.now
        self._partial += len(data)
        self._hold(len(data))
        self._frames.receive_data(data)
        for frame in self._frames.events_received():
            if isinstance(frame, Frame) and not self._ends_at:
                self._take(frame)
        self._flush()
        if self._frames.state is not State.OPEN and not self._ends_at:
            self._leave(LINGER_SECONDS)

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._paused = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._paused = False
        self._give_back()
        self._begin_waiting()
        self.pump()

    # --- messages ---

    def _take(self, frame: Frame) -> None:
        """Take a frame that has arrived as a whole."""
        size = _wire_size(frame)
        self._partial -= size
        if frame.opcode in (Opcode.PING, Opcode.PONG, Opcode.CLOSE):  # the library has answered it
            self._hold(-size)
            return
        if not self._in_message:
            self._is_text = frame.opcode is Opcode.TEXT  # web3.py sends JSON as binary data, and geth takes it
        self._hold(len(frame.data) - size)  # the message itself is held until its answer is there
        self._message += frame.data
        self._in_message = not frame.fin
        if self._in_message:
            return
        whole, self._message = bytes(self._message), bytearray()
        self._partial_since = self._door.now
        if self._is_text and not _is_utf8(whole):
            self._fail("bad_text", INVALID_DATA, "a text message is UTF-8")
            return
        self._waiting.append(whole)
        self._begin_waiting()

    def _begin_waiting(self) -> None:
        """Begin waiting requests, as many as may run at once; read on if none is left."""
        door = self._door
        while self._waiting and self._running < MAX_RUNNING and not self._paused and not self._ends_at:
            call = Call(self._subscriptions, door.feed)
            request = Request(door.node, door.budget, self._waiting.popleft(), self._controls, self._answered, call)
            door.requests += 1
            if door.pool.submit(request):
                self._running += 1
            else:
                self._hold(-request.size)
                self._send(protocol.refused(LIMIT_EXCEEDED, "too many requests wait: try again"))
        if self._waiting or self._paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _answered(self, request: Request) -> None:
        """The answer of a request is there."""
        self._running -= 1
        if self._ends_at:
            request.close()
            return
        self._hold(-request.size)
        if request.answer:
            self._send(request.answer)
        if request.large is not None:
            self._large.append(request)
            if not self._paused:
                self._give_back()
        if request.call is not None and request.call.made:
            if self not in self._door.listeners:
                self._next = self._door.backlog.end
                self._door.listeners.add(self)
            for message in request.call.begin(self._door.backlog.end):
                self._write(message)
        self._begin_waiting()

    def _send(self, text: bytes) -> None:
        self._frames.send_text(text)
        self._flush()

    # --- notifications ---

    def pump(self) -> None:
        """Send the steps that the client was not told yet, as long as it takes them."""
        if not len(self._subscriptions):
            self._door.listeners.discard(self)
            self._rest = None
            return
        backlog = self._door.backlog
        if self._next < backlog.first and not self._ends_at:  # a step that it was not told is kept no longer
            self.cut_off("slow_subscriber", "too slow: too many notifications wait")
            return
        while not self._paused and not self._ends_at:
            if self._rest is None:
                if self._next >= backlog.end:
                    return
                self._rest = self._subscriptions.messages(self._next, backlog[self._next])
                self._next += 1
            message = next(self._rest, None)
            if message is None:
                self._rest = None
            else:
                self._write(message)

    def cut_off(self, reason: str, words: str) -> None:
        """End the connection of a subscriber that cannot be told everything, and say why."""
        self._fail(reason, TRY_AGAIN, words, SLOW_LINGER_SECONDS)

    # --- ends ---

    def look(self, patience: float) -> None:
        """Ping, and end what takes too long. Called about every second.

        Args:
            patience: seconds for which a client may take nothing of its answers.
        """
        now = self._door.now
        if self._ends_at:
            if now >= self._ends_at:
                self._transport.abort()
            return
        stalled = self._flow.look(self._transport.get_write_buffer_size(), now)
        behind = self._paused and (self._rest is not None or self._next < self._door.backlog.end)
        if behind and self in self._door.listeners and stalled > STALLED_SECONDS:
            self.cut_off("slow_subscriber", "too slow: notifications were not read")
        elif stalled > patience:
            self._fail("slow_reader", POLICY, "too slow: answers were not read", SLOW_LINGER_SECONDS)
        elif self._paused or self._waiting:
            return  # nothing is read from it now, so it cannot be late
        elif (self._partial or self._in_message) and now - self._partial_since > BODY_SECONDS:
            self._fail("slow_body", POLICY, f"a message has {BODY_SECONDS:g} seconds at most")
        elif self._unanswered and now - self._pinged > PONG_SECONDS:
            self._fail("no_pong", POLICY, "no answer to a ping")
        elif now - max(self._heard, self._pinged) > PING_SECONDS:
            self._pinged, self._unanswered = now, True
            self._frames.send_ping(b"")
            self._flush()

    @property
    def unsent(self) -> int:
        """Bytes that wait for the client."""
        return self._transport.get_write_buffer_size()

    def go_away(self) -> None:
        """End the connection because the process ends."""
        self._fail("", GOING_AWAY, "the node is stopping")

    def abort(self) -> None:
        """End the connection at once."""
        self._transport.abort()

    def _fail(self, reason: str, code: int, words: str, linger: float = LINGER_SECONDS) -> None:
        if reason:
            self._door.count_end(reason)
        self._frames.fail(code, words)
        self._flush()
        self._leave(linger)

    def _leave(self, linger: float) -> None:
        """The last frame is on its way. What still arrives is thrown away, or the client would lose that frame."""
        self._ends_at = self._door.now + linger
        self._door.listeners.discard(self)
        self._subscriptions.end()
        self._hold(-self._held)
        self._waiting.clear()
        self._message = bytearray()
        self._rest = None
        self._transport.resume_reading()

    # --- bytes ---

    def _flush(self) -> None:
        """Hand what the library has to send to the transport."""
        for data in self._frames.data_to_send():
            if data:
                self._write(data)
            else:
                sockets.finish(self._transport)

    def _write(self, data: bytes) -> None:
        self._transport.write(data)
        self._flow.wrote(len(data))

    def _hold(self, size: int) -> None:
        self._held += size
        self._door.arriving += size

    def _give_back(self) -> None:
        while self._large:
            self._large.pop().close()


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _wire_size(frame: Frame) -> int:
    """Bytes of a client's frame: two, its length if that does not fit there, a mask, and the data."""
    length = len(frame.data)
    return 6 + (0 if length < 126 else 2 if length < 65_536 else 8) + length
