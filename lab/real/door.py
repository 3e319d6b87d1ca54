"""HTTP of a front: a small server that answers in place of a node, and requests of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

import httptools

from lab.real.messages import MAX_HEAD
from services.peers.client import MAX_PAGE_BYTES

# Of a request's body: a node sends no larger batch of transactions.
MAX_BODY = MAX_PAGE_BYTES
MAX_CONNECTIONS = 128
_REQUEST_SECONDS = 30.0  # in which a request has arrived
_CLOSING_SECONDS = 3.0
_READ = 65_536

Answer = tuple[int, bytes]  # status, JSON


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    method: str
    path: str  # with query
    host: str  # HOST:PORT
    body: bytes = b""


class NoAnswer(Exception):
    """There is no answer: the connection ends without one."""


class _Reader:
    """Collects one message; `httptools` calls its methods."""

    def __init__(self) -> None:
        self.done = False
        self.path = b""
        self.host = ""
        self.body = bytearray()

    def on_url(self, piece: bytes) -> None:
        self.path += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"host":
            self.host = value.decode("latin-1")

    def on_body(self, piece: bytes) -> None:
        self.body += piece

    def on_message_complete(self) -> None:
        self.done = True


class Door:
    """A server on a free port of this machine; each connection has one request.

    Args:
        answer: what it answers. Raises `NoAnswer`.
    """

    def __init__(self, answer: Callable[[Asked], Awaitable[Answer]]) -> None:
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def open(self) -> int:
        """Begin to serve; the port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Take no more requests. Those that are being answered get some seconds."""
        if self._server is not None:
            self._server.close()
        if self._open:
            await asyncio.wait(set(self._open), timeout=_CLOSING_SECONDS)
        for task in self._open:
            task.cancel()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                asked = await _read_request(reader)
            status, body = await self._answer(asked)
            phrase = HTTPStatus(status).phrase
            head = f"HTTP/1.1 {status} {phrase}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
            await writer.drain()
            writer.close()
        except (NoAnswer, OSError, asyncio.CancelledError):
            writer.transport.abort()


async def _read_request(reader: asyncio.StreamReader) -> Asked:
    message = _Reader()
    parser = httptools.HttpRequestParser(message)
    read = 0
    while not message.done:
        data = await reader.read(_READ)
        read += len(data)
        if not data or read > MAX_BODY + MAX_HEAD:
            raise NoAnswer
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            raise NoAnswer from None
    return Asked(parser.get_method().decode("ascii"), message.path.decode("latin-1"), message.host, bytes(message.body))


async def ask(port: int, asked: Asked, seconds: float, *, through: bool = False, most: int = MAX_PAGE_BYTES) -> Answer:
    """The answer of a node of this machine.

    Args:
        port: of the node, or with `through` of a proxy that is to ask it.
        most: bytes of the answer.

    Raises:
        OSError: there is no complete answer within `seconds`.
    """
    message = _Reader()
    parser = httptools.HttpResponseParser(message)
    target = f"http://{asked.host}{asked.path}" if through else asked.path
    lines = [
        f"{asked.method} {target} HTTP/1.1", f"Host: {asked.host}", "Accept: application/json", "Connection: close"
    ]  # fmt: skip
    if asked.method == "POST":
        lines += ["Content-Type: application/json", f"Content-Length: {len(asked.body)}"]
    async with asyncio.timeout(seconds):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + asked.body)
            read = 0
            while not message.done:
                data = await reader.read(_READ)
                read += len(data)
                if not data or read > most + MAX_HEAD:
                    raise OSError("the answer is not complete")
                parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise OSError("the answer is no HTTP") from error
        finally:
            writer.close()
    return int(parser.get_status_code()), bytes(message.body)
