"""The router of a lab: what it costs while no link does anything, and how exact its latency and its rate are.

The node is a bare server, so that the router's own cost is not small beside it, and then a real one. Server and client
are processes of their own; the router is a thread of this one, as in a lab.
"""

import asyncio
import http.client
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import urlsplit

from benchmarks.node import BenchNode
from benchmarks.report import Result
from lab.real.router import Router
from services.peers.http import PeerRequest, SystemPeerHttp
from services.peers.proxy import PeerProxy
from services.settings.proxy_url import parse

_SPAWN = multiprocessing.get_context("spawn")
_BODY = b'{"height": 1, "tip": "' + b"0" * 380 + b'"}'
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(_BODY) + _BODY
_ASKER, _NODE = 1, 2
LATENCIES = (0.02, 0.1, 0.4)
RATES = (20_000, 200_000, 2_000_000)
_RATE_SECONDS = 5.0


def run(say: Callable[[str], None], quick: bool = False) -> list[Result]:
    """Result "router"."""
    result = Result("router")
    seconds = 1.5 if quick else 5.0
    with _server() as port, Router(seed=1) as router:
        proxy = router.add(_ASKER, "127.0.0.1", 1)
        router.add(_NODE, "127.0.0.1", port)
        for name, keep in (("connections", False), ("keep_alive", True)):
            say(f"{name}: requests to a bare server, directly and through the router")
            _compare(
                result,
                name,
                lambda through, keep=keep: _requests_per_second(port, through, seconds, keep),
                proxy,
                seconds,
            )
        with BenchNode(workers=0, ticker=False) as node:
            place = urlsplit(node.url)
            router.add(_NODE, "127.0.0.1", place.port or 80)
            say("peers' questions to a node, directly and through the router")
            _compare(result, "status", lambda through: _status_per_second(node.url, through, seconds), proxy, seconds)
        router.add(_NODE, "127.0.0.1", port)
        _latency(result, say, router, port, 10 if quick else 50)
        for rate in RATES:
            say(f"{rate:,} bytes a second")
            router.link(_NODE, _ASKER).set(rate=rate)
            found = _in_process(_bytes_per_second, port, proxy, _RATE_SECONDS)
            error = 100 * abs(found / rate - 1)
            result.add(f"rate_error_at_{rate}", error, "%", target=2.0, better="lower", than=f"{found:,.0f} bytes/s")
    return [result]


def _compare(result: Result, name: str, measure: Callable[[int], float], proxy: int, seconds: float) -> None:
    """Measure without and with the router, in turn, three times each; the best counts, as other work only slows."""
    rounds = []
    for _ in range(3):
        direct = measure(0)
        before = time.process_time()
        routed = measure(proxy)
        rounds.append((direct, routed, (time.process_time() - before) / (routed * seconds)))
    direct, routed, _ = (max(column) for column in zip(*rounds, strict=True))
    cpu = min(used for _, _, used in rounds)
    result.add(f"{name}_ratio", routed / direct, "of direct", than=f"{routed:,.0f} of {direct:,.0f} requests/s")
    result.add(f"{name}_cpu", cpu * 1000, "ms", than="of the router's processor time, for each request")


def _latency(result: Result, say: Callable[[str], None], router: Router, port: int, count: int) -> None:
    proxy = router.port_of(_ASKER)
    link, back = router.link(_ASKER, _NODE), router.link(_NODE, _ASKER)
    plain = statistics.median(_in_process(_durations, port, proxy, count))
    for latency in LATENCIES:
        say(f"a latency of {latency} s each way")
        link.set(latency=latency)
        back.set(latency=latency)
        took = _in_process(_durations, port, proxy, count)
        slept = statistics.median(_in_process(_sleeps, 2 * latency, count)) * 1000
        errors = [abs(each - plain - 2 * latency) * 1000 for each in took]
        result.add(
            f"latency_error_at_{latency:g}", statistics.median(errors), "ms", target=5.0, better="lower",
            than=f"median of {count} exchanges of {2 * latency:g} s; sleeping so long here is off by {slept:.1f} ms",
        )  # fmt: skip
    link.set(latency=0)
    back.set(latency=0)


# --- clients, in a process of their own ---


def _ask(connection: http.client.HTTPConnection, port: int, proxy: int, path: str = "/") -> http.client.HTTPResponse:
    connection.request("GET", f"http://127.0.0.1:{port}{path}" if proxy else path)
    return connection.getresponse()


def _count(port: int, proxy: int, seconds: float, keep: bool) -> float:
    """Requests per second, one after the other."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy or port, timeout=10)
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        _ask(connection, port, proxy).read()
        done += 1
        if not keep:
            connection.close()
    connection.close()
    return done / (time.perf_counter() - began)


def _requests_per_second(port: int, proxy: int, seconds: float, keep: bool) -> float:
    return _in_process(_count, port, proxy, seconds, keep)


def _count_status(url: str, proxy: int, seconds: float) -> float:
    found = PeerProxy(parse(f"http://127.0.0.1:{proxy}")) if proxy else None
    peers = SystemPeerHttp(private=True, proxy=found)
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        peers.exchange(PeerRequest(url, "/status", 10.0, 100_000))
        done += 1
    return done / (time.perf_counter() - began)


def _status_per_second(url: str, proxy: int, seconds: float) -> float:
    return _in_process(_count_status, url, proxy, seconds)


def _durations(port: int, proxy: int, count: int) -> list[float]:
    """Seconds that each of so many exchanges takes."""
    found = []
    for _ in range(count):
        connection = http.client.HTTPConnection("127.0.0.1", proxy, timeout=10)
        connection.connect()
        began = time.perf_counter()
        _ask(connection, port, proxy).read()
        found.append(time.perf_counter() - began)
        connection.close()
    return found


def _sleeps(seconds: float, count: int) -> list[float]:
    """By how many seconds so many sleeps are too long: what this machine's load does to any timer."""
    found = []
    for _ in range(count):
        began = time.perf_counter()
        time.sleep(seconds)
        found.append(time.perf_counter() - began - seconds)
    return found


def _bytes_per_second(port: int, proxy: int, seconds: float) -> float:
    """Of an answer without end, from its first byte on."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy, timeout=10)
    answer = _ask(connection, port, proxy, "/endless")
    answer.read(1)
    began, length = time.perf_counter(), 0
    while (took := time.perf_counter() - began) < seconds:
        length += len(answer.read1(65_536))
    connection.close()
    return length / took


def _in_process(work: Callable[..., object], *arguments: object) -> Any:
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=_run, args=(theirs, work, arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        return ours.recv()
    finally:
        process.join(10)


def _run(pipe: Connection, work: Callable[..., object], arguments: tuple[object, ...]) -> None:
    pipe.send(work(*arguments))


# --- the server ---


@contextmanager
def _server() -> Iterator[int]:
    """The port of a bare server in a process of its own."""
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join(10)


def _serve(pipe: Connection) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if b" /endless" not in head:
                    writer.write(_ANSWER)
                    await writer.drain()
                    continue
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                while True:
                    writer.write(bytes(16_384))
                    await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def main() -> None:
        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    with asyncio.Runner() as runner:
        runner.run(main())
