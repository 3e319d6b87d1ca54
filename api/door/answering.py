"""The half of an HTTP connection that writes: answers, refusals, and answers that go on."""

import asyncio
from collections.abc import Callable
from typing import cast

from api.door import sockets
from api.door.door import Door
from api.door.requests import PROBLEM, STARTS, Refusal


class Answering(sockets.Receiver):
    """One connection, as far as it is written to."""

    def __init__(self, door: Door) -> None:
        super().__init__(door.buffer)
        self.door = door
        self._transport = cast(asyncio.Transport, None)  # until the connection is made
        self._since = door.now  # when the last thing happened
        self._busy = False  # a request is being answered
        self._paused = False  # the client does not take its answers
        self._over = False  # nothing more is read or written
        self._half_closed = False  # the client sends no more
        self._is_head = False  # the next answer is to a HEAD, and has no body
        self._ended: Callable[[], None] = lambda: None  # called when the connection has ended
        self._streams = False  # the answer goes on until the connection ends
        self._flow = sockets.Flow(door.now)

    @property
    def is_over(self) -> bool:
        """Whether nothing more can be sent."""
        return self._over

    @property
    def unsent(self) -> int:
        """Bytes that wait for the client."""
        return self._transport.get_write_buffer_size()

    def answer(self, status: int, fields: bytes, body: bytes, keep: bool) -> None:
        """Send an answer; end the connection after it, unless it is to be kept."""
        keep = keep and not self.door.ending and not self._half_closed
        length = b"" if status == 204 else b"content-length: %d\r\n" % len(body)
        last = b"\r\n" if keep else b"connection: close\r\n\r\n"
        sent, self._is_head = b"" if self._is_head else body, False
        self._transport.write(
            b"".join((STARTS[status], b"date: ", self.door.date, b"\r\n", fields, length, last, sent))
        )
        self._flow.wrote(len(sent))
        self._since = self.door.now
        if not keep:
            self._end()

    def refuse(self, refusal: Refusal) -> None:
        """Answer with a problem (RFC 9457), as the API does, and end the connection."""
        again = b"retry-after: 1\r\n" if refusal.status == 503 else b""
        self.answer(refusal.status, PROBLEM + again + refusal.fields, refusal.problem(), keep=False)

    def begin(self) -> None:
        """A request is being answered, by `end` or `begin_stream`: no other is taken meanwhile."""
        self._busy = True

    def end(self, status: int, fields: bytes, body: bytes, keep: bool) -> None:
        """Send the answer for which `begin` was called."""
        self._busy = False
        if not self._over:
            self.answer(status, fields, body, keep)
            self._next()

    def begin_stream(self, fields: bytes, ended: Callable[[], None]) -> None:
        """Begin an answer that goes on until the connection ends; then `ended` is called."""
        self._ended, self._streams = ended, True
        head = (STARTS[200], b"date: ", self.door.date, b"\r\n", fields, b"connection: close\r\n\r\n")
        self._transport.write(b"".join(head))

    def send_more(self, message: bytes) -> None:
        """Send more of it, unless the client does not take it."""
        if not self._over and not self._paused:
            self._transport.write(message)
            self._flow.wrote(len(message))

    def _late(self, refusal: Refusal) -> None:
        self.door.count_end(refusal.code)
        self.refuse(refusal)

    def _abort(self, reason: str) -> None:
        self.door.count_end(reason)
        self._transport.abort()

    def _end(self) -> None:
        """End the connection once all is sent. What still arrives is thrown away, or the answer would be lost."""
        self._over = True
        self._scatter()
        self._let_go()
        sockets.finish(self._transport)
        self._transport.resume_reading()

    def _let_go(self) -> None:
        """Drop what has arrived."""
        raise NotImplementedError

    def _scatter(self) -> None:
        """Have asyncio read the connection, if something else does."""
        raise NotImplementedError

    def _next(self) -> None:
        """Begin the next request, if there is one."""
        raise NotImplementedError
