"""A server that sends what a test tells it to, byte by byte if need be. For peers that no real server would be."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

Script = Callable[["Connection"], None]


class Connection:
    """One accepted connection."""

    def __init__(self, sock: socket.socket, stopping: threading.Event) -> None:
        self._sock = sock
        self._stopping = stopping
        self.request = b""

    def read_request(self) -> None:
        while b"\r\n\r\n" not in self.request and (piece := self._sock.recv(65_536)):
            self.request += piece

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def drip(self, data: bytes, seconds: float) -> None:
        """One byte every `seconds`, until the other side has had enough."""
        for byte in data:
            if self._stopping.wait(seconds):
                return
            self.send(bytes([byte]))

    def hang(self) -> None:
        self._stopping.wait(60)


class RawServer:
    """Runs `script` for each connection, in a thread of its own."""

    def __init__(self, script: Script, host: str = "127.0.0.1") -> None:
        self._script = script
        self._stopping = threading.Event()
        self._listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._listener.bind((host, 0))
        self._listener.listen(128)
        self.port: int = self._listener.getsockname()[1]
        self.connections: list[Connection] = []
        self.broken = threading.Event()  # a connection was closed by the other side
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def _start(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._start(lambda sock=sock: self._serve(sock))  # type: ignore[misc] # mypy sees no type in the default

    def _serve(self, sock: socket.socket) -> None:
        connection = Connection(sock, self._stopping)
        self.connections.append(connection)
        with sock:
            sock.settimeout(30)
            try:
                connection.read_request()
                self._script(connection)
            except OSError:
                self.broken.set()


def response(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A complete response."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body
