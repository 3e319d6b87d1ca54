"""The client of the JSON-RPC benchmarks: whole HTTP requests over a few connections, by one thread."""

import json
import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Measured:
    """The result of one load."""

    answered: int
    seconds: float
    delays: list[float] = field(repr=False)  # seconds from each request to its answer, ascending
    error: bytes = b""  # the first answer that is an error; empty without one

    @property
    def rate(self) -> float:
        return self.answered / self.seconds

    def percentile(self, rank: float) -> float:
        """The percentile `rank` of the delays, in milliseconds."""
        return 1000 * self.delays[min(int(len(self.delays) * rank / 100), len(self.delays) - 1)]


@dataclass
class Target:
    """One node, of Quarry or of a rival."""

    name: str
    port: int
    path: str
    chain_id: int
    contract: str
    transactions: int
    nudge: str = ""  # a method that makes a block, for a node that does not mine all that waits without it

    def request(self, method: str, *params: Any) -> bytes:
        """A whole HTTP request."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        head = f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nContent-Type: application/json\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    def call(self, method: str, *params: Any) -> Any:
        """One call's result."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(self.request(method, *params))
            answer = json.loads(read_answer(connection))
        if "error" in answer:
            raise RuntimeError(f"{self.name}: {method}: {answer['error']}")
        return answer["result"]


class _Lane:
    """One connection. Its next request is sent once the one before is answered."""

    def __init__(self, port: int, queue: Iterator[bytes]) -> None:
        self.queue = queue
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.sent = 0.0
        self.due = 0.0  # when a paced connection sends its next request


def load(port: int, queues: Sequence[Iterator[bytes]], *, seconds: float | None = None, pause: float = 0.0) -> Measured:
    """Send each queue over a connection of its own, until all are empty or the time is up. One thread does it all."""
    lanes = [_Lane(port, iter(queue)) for queue in queues]
    selector = selectors.DefaultSelector()
    measured = Measured(0, 0.0, [])
    began = time.perf_counter()
    end = None if seconds is None else began + seconds
    waiting: list[_Lane] = []
    open_lanes = 0
    for lane in lanes:
        selector.register(lane.socket, selectors.EVENT_READ, lane)
        open_lanes += _next(lane, end)
    while open_lanes:
        now = time.perf_counter()
        for lane in [lane for lane in waiting if lane.due <= now]:
            waiting.remove(lane)
            open_lanes += _next(lane, end) - 1
        timeout = max(0.0, min(lane.due for lane in waiting) - now) if waiting else 60.0
        for key, _ in selector.select(timeout if open_lanes else 0):
            lane = key.data
            body = _received(lane)
            if body is None:
                continue
            measured.answered += 1
            measured.delays.append(time.perf_counter() - lane.sent)
            if b'"error"' in body and not measured.error:
                measured.error = body
            if pause:
                lane.due = time.perf_counter() + pause
                waiting.append(lane)
            elif not _next(lane, end):
                # The server ends connections that are idle for long, while other connections may have more to send.
                selector.unregister(lane.socket)
                open_lanes -= 1
    measured.seconds = time.perf_counter() - began
    for lane in lanes:
        lane.socket.close()
    measured.delays.sort()
    return measured


def _next(lane: _Lane, end: float | None) -> int:
    """Send a connection's next request; 1, or 0 if it has none left."""
    now = time.perf_counter()
    request = next(lane.queue, None) if end is None or now < end else None
    if request is None:
        return 0
    lane.sent = now
    lane.socket.sendall(request)
    return 1


def _received(lane: _Lane) -> bytes | None:
    """Read what was received; the body, once it is complete."""
    part = lane.socket.recv(65536)
    if not part:
        raise RuntimeError("the node closed a connection")
    lane.buffer += part
    body = _whole(lane.buffer)
    if body is not None:
        lane.buffer = b""
    return body


def _whole(buffer: bytes) -> bytes | None:
    head, separator, body = buffer.partition(b"\r\n\r\n")
    if not separator:
        return None
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    return body if len(body) >= length else None


def read_answer(connection: socket.socket) -> bytes:
    """The body of the next answer."""
    buffer = b""
    while (body := _whole(buffer)) is None:
        part = connection.recv(65536)
        if not part:
            raise RuntimeError("the node closed the connection")
        buffer += part
    return body
