"""A load generator: it sends prepared requests over persistent connections, with one thread for each."""

import json
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Load:
    """The result of one run."""

    accepted: int
    refused: int
    seconds: float
    example: bytes  # the first refusal; empty without one

    @property
    def rate(self) -> float:
        return self.accepted / self.seconds


def post(path: str, value: Any) -> bytes:
    """A whole HTTP request."""
    body = json.dumps(value).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    )
    return head.encode() + b"\r\n" + body


def send(port: int, queues: Sequence[Sequence[bytes]]) -> Load:
    """Send each queue over a connection of its own, and each request once the one before is answered.

    A 201 counts as one accepted; the 200 of a batch says how many were accepted and refused.
    """
    lanes = [_Lane(port, queue) for queue in queues]
    threads = [threading.Thread(target=lane.run) for lane in lanes]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    failed = next((lane.error for lane in lanes if lane.error is not None), None)
    if failed is not None:
        raise failed
    example = next((lane.example for lane in lanes if lane.example), b"")
    return Load(sum(lane.accepted for lane in lanes), sum(lane.refused for lane in lanes), seconds, example)


class _Lane:
    def __init__(self, port: int, queue: Sequence[bytes]) -> None:
        self._queue = queue
        self._connection = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        self.accepted = self.refused = 0
        self.example = b""
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            with self._connection:
                for request in self._queue:
                    self._connection.sendall(request)
                    self._count(*self._answer())
        except BaseException as error:  # raised again in the thread that waits
            self.error = error

    def _answer(self) -> tuple[bytes, bytes]:
        while b"\r\n\r\n" not in self._buffer:
            self._receive()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        while len(self._buffer) < length:
            self._receive()
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return head[9:12], body

    def _receive(self) -> None:
        data = self._connection.recv(65536)
        if not data:
            raise ConnectionError("the server closed a connection")
        self._buffer += data

    def _count(self, status: bytes, body: bytes) -> None:
        if status == b"201":
            self.accepted += 1
        elif status == b"200":
            answer = json.loads(body)
            self.accepted += answer["accepted"]
            self.refused += len(answer["results"]) - answer["accepted"]
        else:
            self.refused += 1
        if self.refused and not self.example:
            self.example = body[:300]
