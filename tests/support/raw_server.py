"""A server that sends exactly the bytes that a test gives it: for peers that misbehave."""

import socket
import threading
from collections.abc import Callable

from tests.support.listener import Listener

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
        """One byte every `seconds`, until the other side closes the connection."""
        for byte in data:
            if self._stopping.wait(seconds):
                return
            self.send(bytes([byte]))

    def hang(self) -> None:
        self._stopping.wait(60)


class RawServer(Listener):
    """Runs `script` for each connection, in a thread of its own."""

    def __init__(self, script: Script, host: str = "127.0.0.1") -> None:
        super().__init__(host)
        self._script = script
        self.connections: list[Connection] = []
        self.broken = threading.Event()  # a connection was closed by the other side

    def accepted(self, sock: socket.socket) -> None:
        self.start(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        connection = Connection(sock, self.stopping)
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
