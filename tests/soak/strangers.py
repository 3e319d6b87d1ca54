"""Strangers: connections that misbehave, bounded in number and in time."""

import json
import random
import socket
import threading
import time
from collections import Counter
from contextlib import ExitStack, suppress

from tests.soak.cluster import Cluster
from tests.support.threads import Background

MOST = 24  # connections of one stranger at once
HOLD = 12.0  # seconds
_KINDS = (
    "never_reads", "half_body", "drips", "garbage", "huge_header", "false_announcements", "waiting_resolve",
    "waiting_job",
)  # fmt: skip


class Strangers(Background):
    """`count` threads, each with one kind of stranger after the other, in an order that the seed decides."""

    def __init__(self, cluster: Cluster, seed: int, count: int = 2) -> None:
        self._cluster = cluster
        super().__init__()
        self.visits: Counter[str] = Counter()
        self._threads = [
            threading.Thread(target=self._run, args=(random.Random(f"strangers-{seed}-{number}"),))
            for number in range(count)
        ]

    def _run(self, rng: random.Random) -> None:
        while not self._stop.wait(rng.uniform(1, 4)):
            kind, port = rng.choice(_KINDS), rng.choice(self._cluster.ports)
            with ExitStack() as stack:
                opened = 0
                for _ in range(rng.randint(4, MOST)):
                    with suppress(OSError):
                        sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), 3))
                        sock.settimeout(3)
                        if kind == "never_reads":  # a small receive window, so the answer stays in the node
                            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                        sock.sendall(self._words(kind, rng))
                        opened += 1
                        if kind == "drips":
                            threading.Thread(target=self._drip, args=(sock,), daemon=True).start()
                self.visits[kind] += opened
                self._stop.wait(rng.uniform(HOLD / 3, HOLD))

    def _words(self, kind: str, rng: random.Random) -> bytes:
        get = "GET {} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        post = "POST {} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
        if kind == "never_reads":
            return get.format(rng.choice(("/chain", "/chain?limit=500", "/headers?limit=500", "/blocks"))).encode()
        if kind in ("half_body", "drips"):
            return post.format("/transactions/new", 100_000).encode() + b"{"
        if kind == "garbage":
            return rng.randbytes(2000)
        if kind == "huge_header":
            return b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: " + b"x" * 200_000 + b"\r\n\r\n"
        if kind == "false_announcements":
            body = json.dumps(
                {
                    "url": rng.choice(self._cluster.urls),
                    "hash": rng.randbytes(32).hex(),
                    "height": 10**9,
                    "chainwork": 1,
                }
            )
            return post.format("/nodes/announce", len(body)).encode() + body.encode()
        if kind == "waiting_resolve":
            return get.format("/nodes/resolve?wait=10").encode()
        return get.format(f"/jobs/{rng.randbytes(16).hex()}?wait=10").encode()

    def _drip(self, sock: socket.socket) -> None:
        ends = time.monotonic() + HOLD
        with suppress(OSError):
            while time.monotonic() < ends and not self._stop.wait(0.5):
                sock.sendall(b" ")
