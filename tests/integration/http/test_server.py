"""The real server, and clients that misbehave: they are slow, do not send what they announce, or never end."""

import inspect
import json
import logging
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import granian.server.mp
import pytest
from granian.log import LogLevels, configure_logging

from api.server import _OUR_LOG, HEAD_SECONDS
from api.serving.budget import Budget
from api.serving.connections import Deadlines, Watch
from services.system.programs import ROOT, scrubbed
from tests.support.http import POST, SocketDoor, first_line, needs_linux
from tests.support.keys import ALICE
from tests.support.nodes import transfer
from tests.support.running import RunningNode, StartNode
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import eventually

# Of what waits for nobody. A slow or silent client that held it up would do so for the ten seconds that a body has.
SOON = 4.0


@pytest.fixture
def api(start_node: StartNode) -> RunningNode:
    """An API of two processes and its store."""
    return start_node(workers=0, upkeep=False)


def status_after(api: RunningNode) -> float:
    """How many seconds the API takes to answer."""
    watch = Stopwatch(api.processes["api"].pid)
    assert api.client.get("/status").status == 200
    return watch.seconds()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"Content-Length: 100000000\r\n\r\n", b"413 Payload Too Large"),
        (b"Content-Length: 1048577\r\n\r\n", b"413 Payload Too Large"),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"411 Length Required"),
    ],
    ids=["100 MB", "1 MiB and a byte", "chunked, no length"],
)
@pytest.mark.parametrize("path", [b"/transactions/new", b"/rpc", b"/status"])
def test_a_body_that_is_too_large_is_refused_by_its_head_alone(
    shared_node: RunningNode, head: bytes, status: bytes, path: bytes
) -> None:
    if path == b"/rpc":  # from this machine it may be `anvil_loadState`, which its head does not tell
        head = b"Origin: https://example.org\r\n" + head
    watch = Stopwatch(shared_node.processes["api"].pid)
    with shared_node.door.raw(POST.replace(b"/transactions/new", path) + head) as connection:
        assert first_line(connection) == b"HTTP/1.1 " + status
    assert watch.seconds() < SOON


@pytest.mark.parametrize("path", [b"/status", b"/rpc", b"/rq/", b"/mine"])
@pytest.mark.parametrize(
    "hosts",
    [b"", b"Host:\r\n", b"Host: localhost\r\nHost: localhost\r\n", b"Host: localhost\r\nHost: evil.example\r\n"],
    ids=["none", "empty", "the same twice", "two"],
)
def test_a_request_has_one_host(shared_node: RunningNode, path: bytes, hosts: bytes) -> None:
    for version in (b"HTTP/1.1", b"HTTP/1.0"):
        with shared_node.door.raw(b"GET " + path + b" " + version + b"\r\n" + hosts + b"\r\n") as connection:
            assert first_line(connection).startswith(version + b" 400 "), version


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",  # TLS
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        POST + b"Content-Length: -1\r\n\r\n{}",
        POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
        POST + b"Content-Length: 1_0\r\n\r\n{}",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}",
        b"GET /status HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 600_000 + b"\r\n\r\n",
        b"GET /status HTTP/1.1\r\nHost: localhost\r\n" + b"X: x\r\n" * 1000 + b"\r\n",
        b"GET /status\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /status HTTP/1.1\r\nHost : localhost\r\n\r\n",
    ],
    ids=lambda data: repr(data[:12]) + repr(data[-30:]),
)
def test_what_is_no_http_gets_no_more_than_a_refusal(shared_node: RunningNode, request_bytes: bytes) -> None:
    before = shared_node.client.get("/mempool").ok()["size"]
    with suppress(ConnectionError), shared_node.door.raw(request_bytes) as connection:
        line = first_line(connection)
        assert line == b"" or line.split()[1][:1] == b"4", line
    assert shared_node.client.get("/mempool").ok()["size"] == before


def test_slow_clients_hold_up_nobody_else(api: RunningNode) -> None:
    """Eight connections that send a byte every 0.3 s, half of them a head, half of them a body."""
    stop = threading.Event()
    heads = b"GET /status HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"x" * 1000
    sent = [0] * 8

    def drip(number: int) -> None:
        with api.door.raw(POST + b"Content-Length: 1000\r\n\r\n" if number % 2 else b"") as connection:
            for byte in b" " * 1000 if number % 2 else heads:
                connection.sendall(bytes([byte]))
                sent[number] += 1
                if stop.wait(0.3):
                    return

    with ThreadPoolExecutor(8) as pool:
        drips = [pool.submit(drip, number) for number in range(8)]
        try:
            eventually(lambda: min(sent) >= 2)
            took = [status_after(api) for _ in range(20)]
            for nonce in range(5):
                api.client.submit(transfer(ALICE, nonce))
            eventually(lambda: min(sent) >= 5)
            took += [status_after(api) for _ in range(20)]
        finally:
            stop.set()
    for done in drips:
        done.result()
    assert max(took) < SOON


def test_idle_connections_take_no_place_and_are_ended(api: RunningNode) -> None:
    """More than both processes have threads: a connection alone takes none."""
    kinds = (b"", b"GET /status HTTP/1.1\r\nHo", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    with ExitStack() as stack:
        idlers = [
            stack.enter_context(api.door.raw(kinds[number % 3], timeout=HEAD_SECONDS + 5))
            for number in range(2 * api.settings.api_threads + 50)
        ]
        assert max(status_after(api) for _ in range(10)) < SOON
        for idler in idlers:
            while idler.recv(4096):
                pass


@needs_linux
def test_what_the_server_itself_says_is_a_line_like_every_other(api: RunningNode) -> None:
    before = len(api.log("api").splitlines())
    served = max(set(api.pids("api")) - {api.processes["api"].pid})
    os.kill(served, signal.SIGKILL)
    eventually(lambda: len(api.log("api").splitlines()) > before)
    for line in api.log("api").splitlines():
        assert json.loads(line)["event"], line


def test_bodies_that_never_come_are_ended_early_when_another_waits(start_node: StartNode) -> None:
    """One of eight threads receives bodies, and one request waits for it."""
    api = start_node(workers=0, upkeep=False, variables={"API_PROCESSES": "1", "API_THREADS": "8"})
    with ExitStack() as stack:
        stalled = [stack.enter_context(api.door.raw(POST + b"Content-Length: 1000\r\n\r\n{")) for _ in range(8)]
        told = [connection for connection in stalled if is_answered(connection)]
        assert len(told) == 6
        for connection in told:
            assert first_line(connection) == b"HTTP/1.1 503 Service Unavailable"
        assert max(status_after(api) for _ in range(5)) < SOON
        late = [connection for connection in stalled if connection not in told]
        # One has its second; then the other has its turn, until somebody else wants it.
        ended = select.select(late, [], [], 5)[0]
        assert len(ended) == 1 and first_line(ended[0]) == b"HTTP/1.1 408 Request Timeout"
        second = late[1 - late.index(ended[0])]
        assert not is_answered(second)
        watch = Stopwatch(api.processes["api"].pid)
        assert api.client.post("/transactions/new", transfer(ALICE, 0)).status == 201
        assert watch.seconds() < 6, "before the stalled body's ten seconds are over"
        second.settimeout(5)
        assert first_line(second) == b"HTTP/1.1 408 Request Timeout"


def is_answered(connection: socket.socket) -> bool:
    connection.settimeout(0.5)
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except TimeoutError:
        return False


@needs_linux
def test_only_connections_of_the_server_that_are_silent_both_ways_are_ended() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as stack:
        port = listener.getsockname()[1]

        def connect() -> tuple[socket.socket, socket.socket]:
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            return client, stack.enter_context(listener.accept()[0])

        def look(port: int, seconds: float) -> int:
            budget = Budget(8, 2**20)
            watch = Watch(port, budget, Deadlines(budget), seconds)
            watch.end_idle_and_slow_readers()
            return watch.ended["idle"]

        (silent, _), (speaking, _), (hearing, answering) = connect(), connect(), connect()
        time.sleep(0.6)
        speaking.sendall(b"x")
        answering.sendall(b"y")
        assert look(port + 1 if port < 65535 else 1, 0.0) == 0  # another server's
        assert look(port, 30.0) == 0
        assert look(port, 0.5) == 1
        assert silent.recv(1) == b""
        assert hearing.recv(1) == b"y"
        listener.settimeout(5)
        assert connect()[0].fileno() > 0  # the listener itself was left alone


def test_the_log_has_granians_warnings_but_not_the_one_about_threads(caplog: pytest.LogCaptureFixture) -> None:
    """It would be the only warning in the log of a healthy node."""
    source = inspect.getsource(granian.server.mp)
    [text] = re.findall(r"f'(Configuration allows spawning up to)", source)
    logger = logging.getLogger("_granian")
    try:
        configure_logging(LogLevels.warning, _OUR_LOG)
        logger.warning(f"{text} 160 Python threads, which seems quite high")
        logger.warning("Worker-1 exited")
    finally:
        for one in list(logger.filters):
            logger.removeFilter(one)
    assert [record.getMessage() for record in caplog.records] == ["Worker-1 exited"]


_STALLING = """
import sys
from granian import Granian
from granian.constants import HTTPModes, Interfaces
from api.serving.budget import Budget
from api.serving.connections import Deadlines, Watch

def application(environ, start_response):
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = environ["wsgi.input"].read(length) if length else b""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"read %d" % len(body)]

def make():
    budget = Budget(8, 2**20)
    Watch(int(sys.argv[1]), budget, Deadlines(budget), 2.0).start()
    return application

if __name__ == "__main__":
    Granian(
        "stalling:make", factory=True, address="127.0.0.1", port=int(sys.argv[1]), interface=Interfaces.WSGI,
        blocking_threads=1, backpressure=64, http=HTTPModes.http1,
    ).serve()
"""


@pytest.fixture
def one_thread(tmp_path: os.PathLike[str]) -> Iterator[tuple[SocketDoor, int]]:
    """The server with one thread, and with two seconds' patience; and its pid."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        program = os.path.join(tmp_path, "stalling.py")
        with open(program, "w") as file:
            file.write(_STALLING)
        environment = scrubbed(os.environ) | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(tmp_path)))}
        process = subprocess.Popen(
            [sys.executable, program, str(port)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        door = SocketDoor(port, timeout=10)
        try:
            eventually(lambda: answers(door))
            yield door, process.pid
        finally:
            process.terminate()
            process.wait(10)


def answers(door: SocketDoor) -> bool:
    with suppress(OSError):
        return door.call("GET", "/").status == 200
    return False


@needs_linux
def test_a_body_that_never_comes_gives_its_thread_back(one_thread: tuple[SocketDoor, int]) -> None:
    door, program = one_thread
    with door.raw(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx") as stalled:
        time.sleep(1.2)  # the only thread is reading now, and the next request will not be as silent as this one
        watch = Stopwatch(program)
        assert door.call("GET", "/").body == b"read 0"
        assert watch.passed() > 0.4 and watch.seconds() < 5, "it waited for the thread"
        assert b"read 9" not in stalled.recv(4096)
