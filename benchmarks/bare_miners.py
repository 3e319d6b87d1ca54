"""Bare prototypes of a server for miners, to compare the API and the door with: one round trip to Redis a request.

`granian` is WSGI in threads, as the API's; `asyncio` is httptools and a few threads, as the door of `quarry rpc`.
Neither has a framework, JSON that is read, a voucher, a share or a rule: every answer is the same, and as long as a
real one.
`benchmarks.leases` starts it as `python -m benchmarks.bare_miners (granian|asyncio) PORT`.
"""

import asyncio
import http.client
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httptools
from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels

from benchmarks.node import free_port
from services.connections.servers import connect_for_requests
from services.system.programs import scrubbed

REDIS_URL = "PROTOTYPE_REDIS_URL"
_THREADS = 160  # of granian, as of a node's API
_FEW_THREADS = 16  # of asyncio: enough while the store syncs the disk for each of them
_WRITE = "return redis.call('HINCRBY', KEYS[1], ARGV[1], 1)"
_HASH = "0" * 64
# What both kinds of request are answered: a lease whose proofs are none, with the fields of a report.
_ANSWER = json.dumps(
    {
        "lease": "0" * 32, "round": "0" * 32, "height": 2, "tip": _HASH, "seal": _HASH, "difficulty": 2**60,
        "share_difficulty": 128, "start": 10_000_000, "stop": 10_001_024, "expires": 1_800_000_000, "accepted": 0,
    }
).encode()  # fmt: skip
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(_ANSWER)


def _writes() -> Callable[[str], Any]:
    script = connect_for_requests(os.environ[REDIS_URL], _THREADS).register_script(_WRITE)
    return lambda path: script(keys=["requests"], args=[path[:8]])


def application() -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    """The application of granian."""
    write = _writes()

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["wsgi.input"].read()
        write(environ["PATH_INFO"])
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(_ANSWER)))])
        return [_ANSWER]

    return answer


def _granian(port: int) -> None:
    Granian(
        "benchmarks.bare_miners:application",
        factory=True,
        port=port,
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=_THREADS,
        backpressure=2048,
        http=HTTPModes.http1,
        websockets=False,
        log_level=LogLevels.warning,
    ).serve()


class _Connection(asyncio.Protocol):
    def __init__(self, jobs: "queue.SimpleQueue[_Connection]") -> None:
        self._jobs = jobs
        self._parser = httptools.HttpRequestParser(self)
        self.path = ""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.path = url.decode()

    def on_message_complete(self) -> None:
        self._jobs.put(self)

    def finish(self) -> None:
        self._transport.write(_HEAD + _ANSWER)


async def _asyncio(port: int) -> None:
    loop, write = asyncio.get_running_loop(), _writes()
    jobs: queue.SimpleQueue[_Connection] = queue.SimpleQueue()

    def work() -> None:
        while True:
            connection = jobs.get()
            write(connection.path)
            loop.call_soon_threadsafe(connection.finish)

    for _ in range(_FEW_THREADS):
        threading.Thread(target=work, daemon=True).start()
    server = await loop.create_server(lambda: _Connection(jobs), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


@contextmanager
def started(kind: str, redis_url: str) -> Iterator[tuple[int, int]]:
    """Run a prototype; yield its port and its process id."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "benchmarks.bare_miners", kind, str(port)],
        env=scrubbed(os.environ) | {REDIS_URL: redis_url},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _await(port, process)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(10)


def _await(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("POST", "/", "{}")
            connection.getresponse().read()
            return
        except OSError:
            time.sleep(0.05)
        finally:
            connection.close()
    raise RuntimeError("the prototype does not answer")


if __name__ == "__main__":
    sys.setswitchinterval(0.002)  # as the API and the door
    if sys.argv[1] == "granian":
        _granian(int(sys.argv[2]))
    else:
        asyncio.run(_asyncio(int(sys.argv[2])))
