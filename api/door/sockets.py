"""What HTTP connections and WebSockets have in common: the socket, and how fast the client takes what is sent."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress

from api.door.job import Request
from api.door.limits import HIGH_WATER, SEND_BUFFER

# Sends the answer of a request.
Send = Callable[[Request], None]


def prepare(transport: asyncio.Transport) -> None:
    """Bound what waits for a slow reader, here and in the kernel."""
    transport.set_write_buffer_limits(high=HIGH_WATER)
    connection: socket.socket | None = transport.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)


def finish(transport: asyncio.Transport) -> None:
    """Say that nothing more will be sent, after what waits. A connection that is closed already needs no word."""
    if transport.is_closing() or not transport.can_write_eof():
        return
    with suppress(OSError):  # the client has reset it, and the loop has not noticed yet
        transport.write_eof()


class Receiver(asyncio.BufferedProtocol):
    """A protocol whose `data_received` is called as asyncio's, but which receives into a buffer that it is given.

    Otherwise asyncio allocates 256 KiB for each read, however little has arrived: the system then maps and unmaps pages
    for each request, which took a tenth of the time of a read.
    """

    def __init__(self, buffer: memoryview) -> None:
        """`buffer`: all connections of one event loop may share it, since each read is handed on before the next."""
        self._buffer = buffer

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self._buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Take what has arrived."""
        raise NotImplementedError


class Flow:
    """Whether a client takes what waits for it."""

    __slots__ = ("_since", "_unsent", "_written")

    def __init__(self, now: float) -> None:
        self._since = now  # when the client last took something, or had taken everything
        self._written = 0  # bytes since the last look
        self._unsent = 0  # at the last look

    def wrote(self, size: int) -> None:
        """Note that `size` bytes were handed to the transport."""
        self._written += size

    def look(self, unsent: int, now: float) -> float:
        """Seconds for which the client has taken nothing, although `unsent` bytes wait for it."""
        if not unsent or self._unsent + self._written > unsent:
            self._since = now
        self._unsent, self._written = unsent, 0
        return now - self._since
