"""Bodies in and answers out: what slow, lying and many clients meet at the gate."""

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from io import BytesIO
from typing import Any

import pytest

from api.serving import budget as budgets
from api.serving import connections
from api.serving.budget import LARGE, Budget, Kind
from api.serving.connections import READ_RATE, Deadlines, Watch
from api.serving.gate import LARGE_BODY, MAX_LARGE_BODY, PIECE, RECEIVED, Gate
from tests.support.http import POST, first_line, needs_linux
from tests.support.keys import ALICE
from tests.support.nodes import transfer
from tests.support.running import RunningNode, StartNode
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import eventually

MIB = 2**20


class Inner:
    """An application that notes what it got, and gives a fixed answer."""

    def __init__(self, result: Any, headers: list[tuple[str, str]]) -> None:
        self.result = result
        self.headers = headers
        self.bodies: list[bytes] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        self.bodies.append(environ["wsgi.input"].read())
        start_response("200 OK", self.headers)
        return self.result


class Closing:
    """An iterable that knows whether it was closed."""

    def __init__(self, parts: list[bytes]) -> None:
        self.parts = parts
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.parts)

    def close(self) -> None:
        self.closed = True


def call(
    inner: Any, budget: Budget, body: bytes = b"", length: str | None = None, max_body: int = MIB
) -> tuple[str, dict[str, str], Any]:
    gate = Gate(inner, budget, Deadlines(budget), max_body)
    head: list[Any] = []
    environ = {
        "REQUEST_METHOD": "GET",
        "wsgi.input": BytesIO(body),
        "CONTENT_LENGTH": str(len(body)) if length is None else length,
    }
    result = gate(environ, lambda status, headers: head.extend([status, dict(headers)]))
    return head[0], head[1], result


def test_a_body_shorter_than_it_says_is_refused_before_the_application_sees_it() -> None:
    inner = Inner([b"ok"], [])
    status, _, result = call(inner, Budget(40, MIB), b'{"a": 1}', length="9")
    assert status == "400 BAD REQUEST" and json.loads(b"".join(result))["code"] == "incomplete_body"
    assert inner.bodies == []


class LargeBodies:
    """A gate that takes large bodies at one path."""

    def __init__(self, inner: Any) -> None:
        budget = Budget(40, MIB)
        self._gate = Gate(inner, budget, Deadlines(budget), 1000, lambda environ: environ["PATH_INFO"] == "/large")

    def __call__(self, length: int | str, path: str = "/large", **more: str) -> tuple[str, dict[str, Any]]:
        """The status, and the environment that the application has seen."""
        status: list[str] = []
        sent = BytesIO(bytes(min(int(length), 5000)) if str(length).isdigit() else b"")
        environ: dict[str, Any] = {"REQUEST_METHOD": "POST", "PATH_INFO": path, "wsgi.input": sent, **more}
        environ["CONTENT_LENGTH"] = str(length)
        b"".join(self._gate(environ, lambda given, headers: status.append(given)))
        return status[0], environ


@pytest.mark.parametrize(
    ("length", "path", "more", "received", "large"),
    [
        (1000, "/large", {}, True, False),
        (1001, "/large", {}, True, True),
        (5000, "/large", {}, True, True),
        ("0005000", "/large", {}, True, True),
        (5000, "/other", {}, False, False),
        (MAX_LARGE_BODY + 1, "/large", {}, False, False),
        (5000, "/large", {"HTTP_TRANSFER_ENCODING": "chunked"}, False, False),
    ],
)
def test_large_bodies_are_received_where_they_are_allowed(
    length: int | str, path: str, more: dict[str, str], received: bool, large: bool
) -> None:
    status, environ = LargeBodies(Inner([b"ok"], []))(length, path, **more)
    assert (status, RECEIVED in environ, LARGE_BODY in environ) == ("200 OK", received, large)


def test_one_large_body_is_in_memory_at_a_time() -> None:
    inside: list[str] = []

    def inner(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        if not inside:
            inside.append("")
            inside[0], _ = gate(2000)
            assert gate(900)[0] == "200 OK"
        start_response("200 OK", [])
        return [b"ok"]

    gate = LargeBodies(inner)
    assert gate(2000)[0] == "200 OK"
    assert inside == ["503 SERVICE UNAVAILABLE"]
    assert gate(2000)[0] == "200 OK", "its place is free again"


def test_a_large_body_that_fails_gives_its_place_back() -> None:
    def inner(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        raise ZeroDivisionError

    gate = LargeBodies(inner)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            gate(2000)


@pytest.mark.parametrize("length", ["x", "-1", "1_0", "٣", "1" * 20, "+1", " 1"])
def test_a_length_that_is_no_number_is_refused(length: str) -> None:
    inner = Inner([b"ok"], [])
    status, _, _ = call(inner, Budget(40, MIB), b"{}", length=length)
    assert status == "400 BAD REQUEST" and inner.bodies == []


def test_a_body_that_is_too_long_is_left_unread() -> None:
    budget = Budget(40, MIB)
    seen: list[Any] = []

    def inner(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(environ["wsgi.input"].tell())
        start_response("413 Too Large", [])
        return [b""]

    assert call(inner, budget, b"x" * 11, max_body=10)[0] == "413 Too Large"
    assert seen == [0]


def test_the_body_reaches_the_application_whole() -> None:
    inner = Inner([b"ok"], [])
    assert call(inner, Budget(40, MIB), b"x" * 100_000)[0] == "200 OK"
    assert inner.bodies == [b"x" * 100_000]


def test_a_small_answer_takes_no_place_and_is_one_piece() -> None:
    closing = Closing([b"a" * 100, b"b" * 100])
    budget = Budget(40, MIB)
    _, _, result = call(Inner(closing, [("Content-Length", "200")]), budget)
    assert result == [b"a" * 100 + b"b" * 100] and closing.closed
    assert budget.answers == 0


@pytest.mark.parametrize("known", [True, False])
def test_a_large_answer_leaves_in_small_pieces_and_holds_a_place_until_it_is_closed(known: bool) -> None:
    closing = Closing([b"x" * 100_000, b"", b"y" * 7])
    budget = Budget(40, 8 * MIB)
    _, _, result = call(Inner(closing, [("Content-Length", "100007")] if known else []), budget)
    assert budget.held(Kind.ANSWER) == 1 and budget.bytes_held >= 100_007
    pieces = list(result)
    assert b"".join(pieces) == b"x" * 100_000 + b"y" * 7 and max(map(len, pieces)) <= PIECE
    result.close()
    assert closing.closed and (budget.held(Kind.ANSWER), budget.bytes_held) == (0, 0)


def test_a_large_answer_whose_reader_has_gone_before_the_first_byte_gives_its_place_back() -> None:
    budget = Budget(40, 8 * MIB)
    _, _, result = call(Inner(Closing([b"x" * 100_000]), []), budget)
    result.close()
    assert (budget.held(Kind.ANSWER), budget.bytes_held) == (0, 0)


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", "200 OK"), ("GET", "304 NOT MODIFIED"), ("OPTIONS", "204 NO CONTENT")]
)
def test_an_answer_without_a_body_takes_no_place(method: str, status: str) -> None:
    budget = Budget(40, 8 * MIB)
    closing = Closing([])

    def inner(environ: dict[str, Any], start_response: Any) -> Any:
        start_response(status, [])
        return closing

    gate = Gate(inner, budget, Deadlines(budget), MIB)
    assert gate({"REQUEST_METHOD": method, "wsgi.input": BytesIO()}, lambda *_: None) == []
    assert closing.closed and budget.answers == 0


def test_what_is_done_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """After "try again" for a request that has changed something, clients would do it twice."""
    monkeypatch.setattr(budgets, "PATIENCE", 0.05)
    budget = Budget(40, 8 * MIB)
    for _ in range(budget.shares.answer):
        budget.take(Kind.ANSWER)
    gate = Gate(Inner([b"x" * 100_000], []), budget, Deadlines(budget), MIB)
    head: list[str] = []
    environ = {"REQUEST_METHOD": "POST", "wsgi.input": BytesIO()}
    result = gate(environ, lambda status, _: head.append(status))
    assert head == ["200 OK"] and len(b"".join(result)) == 100_000
    assert budget.held(Kind.ANSWER) == budget.shares.answer


def test_what_was_reserved_is_given_back_when_the_application_fails() -> None:
    budget = Budget(40, 8 * MIB)

    def inner(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        budgets.reserve(5 * MIB)
        raise RuntimeError("planted")

    with pytest.raises(RuntimeError, match="planted"):
        call(inner, budget)
    assert (budget.held(Kind.ANSWER), budget.bytes_held) == (0, 0)


def test_beyond_the_places_an_answer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "PATIENCE", 0.05)
    budget = Budget(40, 8 * MIB)
    for _ in range(budget.shares.answer):
        budget.take(Kind.ANSWER)
    closing = Closing([b"x" * (LARGE + 1)])
    status, headers, result = call(Inner(closing, []), budget)
    assert status == "503 SERVICE UNAVAILABLE" and headers["Retry-After"] == "1" and closing.closed
    assert json.loads(b"".join(result))["code"] == "too_many_answers"
    assert budget.held(Kind.ANSWER) == budget.shares.answer


@needs_linux
def test_a_reader_slower_than_the_least_rate_is_ended_and_others_are_not() -> None:
    """One takes nothing, one takes a little, one takes all, and one has nothing to take."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as stack:
        port = listener.getsockname()[1]
        budget = Budget(8, MIB)
        watch = Watch(port, budget, Deadlines(budget))
        ours, theirs = [], []
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", port))
            theirs.append(client)
            ours.append(stack.enter_context(listener.accept()[0]))
        for one in ours[:3]:
            one.setblocking(False)
        budget._refused_at[Kind.ANSWER] = time.monotonic() + 60  # another request waits, so the limit is two seconds

        def fill() -> None:
            for one in ours[:3]:
                try:
                    while True:
                        one.send(b"x" * 65_536)
                except OSError:
                    pass

        began = time.monotonic()
        while watch.ended["slow_reader"] < 2 and time.monotonic() - began < 15:
            fill()
            theirs[1].recv(READ_RATE // 50)
            taken = 0
            while taken < 4 * READ_RATE:
                taken += len(theirs[2].recv(65_536))
                fill()
            watch.end_idle_and_slow_readers()
            time.sleep(0.25)
        assert watch.ended == {"idle": 0, "slow_body": 0, "slow_reader": 2}
        assert time.monotonic() - began >= 2
        theirs[2].sendall(b"still here")
        theirs[3].sendall(b"still here")
        ours[2].setblocking(True)
        assert ours[2].recv(100) == ours[3].recv(100) == b"still here"


@pytest.fixture(scope="module")
def quick_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with RunningNode(tmp_path_factory.mktemp("gate") / "node", workers=0, variables={"API_PROCESSES": "1"}) as running:
        yield running


@needs_linux
def test_a_body_has_ten_seconds_in_all_however_it_drips(quick_node: RunningNode) -> None:
    """Its sender gets an answer although a thread still reads from it; then the thread is free."""
    clock = Stopwatch(quick_node.processes["api"].pid)
    before: float | None = None  # other tests end slow bodies of the same node
    with quick_node.door.raw(POST + b"Content-Length: 100000\r\n\r\n", timeout=20) as dripping:
        dripping.settimeout(0.5)
        answer = b""
        while not answer and clock.passed() < 60:
            if before is None and clock.passed() > 3:  # counts are shown once a second
                before = slow_bodies(quick_node)
            try:
                dripping.sendall(b" ")
                answer = dripping.recv(4096)
            except TimeoutError:
                continue
        passed, took = clock.passed(), clock.seconds()
        assert answer.startswith(b"HTTP/1.1 408 Request Timeout") and b"body_too_slow" in answer
    assert passed >= 10 and took < 15, "dripping, the body would take hours"
    assert before is not None
    # The count first, since nothing was held before either.
    eventually(lambda: slow_bodies(quick_node) == before + 1)
    eventually(lambda: 'quarry_http_held{kind="body"} 0.0' in metrics(quick_node))
    assert 'quarry_http_held_limit{kind="body"} 32.0' in metrics(quick_node)


@needs_linux
def test_an_address_with_many_unfinished_bodies_keeps_no_other_out(quick_node: RunningNode) -> None:
    port = quick_node.door.port
    with ExitStack() as stack:
        for _ in range(120):
            held = stack.enter_context(socket.create_connection(("127.0.0.1", port), 20, ("127.0.0.2", 0)))
            held.sendall(POST + b"Content-Length: 100000\r\n\r\n ")
        for _ in range(10):
            quick_node.client.post("/transactions/new", []).refused(400, "not_an_object")


def metrics(node: RunningNode) -> str:
    return node.client.get("/metrics").body.decode()


def slow_bodies(node: RunningNode) -> float:
    """How many connections were ended for a slow body."""
    found = re.search(r'^quarry_http_connections_ended_total\{reason="slow_body"\} (\S+)$', metrics(node), re.MULTILINE)
    return float(found[1]) if found else 0.0


@needs_linux
def test_the_length_of_an_early_answer_is_known_to_the_byte(quick_node: RunningNode) -> None:
    """The length tells which connection it went to; if it is wrong, the body's thread is freed late."""
    headers = [("Content-Type", "application/problem+json"), ("Connection", "close")]
    with quick_node.door.raw(POST + b"Content-Length: 9\r\n\r\n{", timeout=20) as half:
        answer = b""
        while piece := half.recv(4096):
            answer += piece
    body = answer.partition(b"\r\n\r\n")[2]
    assert json.loads(body)["code"] == "body_too_slow"
    assert len(answer) == connections._wire_length(408, headers, body)


@needs_linux
def test_a_slow_body_behind_slow_answers_gives_its_place_back_and_cuts_nobody_else(quick_node: RunningNode) -> None:
    """The early answer waits behind large ones that the client reads slowly; others are at work all the while."""
    ask = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with quick_node.door.raw(b"") as late, quick_node.door.raw(b"", timeout=20) as kept, ExitStack() as stack:
        events = stack.enter_context(quick_node.door.open("GET", "/events"))
        assert events.readline() == b"retry: 2000\n"
        late.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        late.sendall(4 * ask + POST + b"Content-Length: 100000\r\n\r\n")
        late.settimeout(0.01)
        began, read = time.monotonic(), 0
        while time.monotonic() - began < 18:
            elapsed = time.monotonic() - began
            with suppress(TimeoutError):
                if elapsed > 11 or read < 20_000 * elapsed:
                    read += len(late.recv(8192))
            if int(elapsed * 5) % 5 == 0:
                kept.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert first_line(kept) == b"HTTP/1.1 200 OK", "one that is kept alive is not cut"
            time.sleep(0.05)
        eventually(lambda: 'quarry_http_held{kind="body"} 0.0' in metrics(quick_node))
        assert events.readline(), "nor is a stream"


def test_a_half_closed_short_body_changes_nothing(quick_node: RunningNode) -> None:
    signed = json.dumps(transfer(ALICE, 0)).encode()
    before = quick_node.client.get("/mempool").ok()["size"]
    for path in (b"/transactions/new", b"/transactions/batch", b"/rpc", b"/faucet", b"/nodes/announce"):
        head = b"POST " + path + b" HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        with quick_node.door.raw(head + b"Content-Length: %d\r\n\r\n" % (len(signed) + 1) + signed) as short:
            short.shutdown(socket.SHUT_WR)
            line = first_line(short)
            assert line in (b"", b"HTTP/1.1 400 Bad Request"), path
    assert quick_node.client.get("/mempool").ok()["size"] == before


def test_waits_beyond_the_places_are_refused_and_quick_answers_go_on(start_node: StartNode) -> None:
    api = start_node(workers=0, upkeep=False, variables={"API_PROCESSES": "1", "API_THREADS": "16"})
    patient = budgets.Shares.of(16).patient
    with ExitStack() as stack:
        for _ in range(patient):
            stack.enter_context(api.door.raw(b"GET /nodes/resolve?wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n"))
        eventually(lambda: f'quarry_http_held{{kind="wait"}} {patient}.0' in metrics(api))
        api.client.get("/nodes/resolve?wait=60").refused(429, "too_many_waiting")
        api.client.get("/mine?wait=1").refused(429, "too_many_waiting")
        api.client.get("/events").refused(429, "too_many_streams")
        asked = api.client.get("/mine?wait=0")
        assert asked.status == 202, "what does not wait holds nothing"
        api.client.get(f"/jobs/{asked.json['job']}?wait=5").refused(429, "too_many_waiting")
        assert api.client.get(f"/jobs/{asked.json['job']}").status == 200
        for nonce in range(3):
            clock = Stopwatch(api.processes["api"].pid)
            api.client.submit(transfer(ALICE, nonce))
            api.client.get("/readyz").ok()
            assert clock.seconds() < 10, "the others wait for a minute"
