"""HTTP at the door: the same answers as `/rpc` on the API, and what is refused there."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.door import limits
from services.connections.servers import RedisError
from services.errors import NotBegun
from services.node import Node
from tests.integration.rpc.client import OWNERS, Rpc, rpc_node
from tests.support.door import RunningDoor
from tests.support.nodes import MakeNode
from tests.support.waiting import eventually

CALL = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}
BODY = json.dumps(CALL).encode()
FIELDS = ("content-type", "access-control-allow-origin", "access-control-allow-methods", "access-control-allow-headers",
          "access-control-max-age", "x-content-type-options", "referrer-policy", "cache-control")  # fmt: skip


def _raw(door: RunningDoor, sent: bytes, *, half: bool = False) -> bytes:
    """All that the door answers until it closes the connection. `half`: we send no more."""
    with socket.create_connection(("127.0.0.1", door.port), timeout=10) as connection:
        connection.sendall(sent)
        if half:
            connection.shutdown(socket.SHUT_WR)
        found = b""
        while part := connection.recv(65_536):
            found += part
        return found


def _request(body: bytes = BODY, *fields: str, method: str = "POST", path: str = "/", host: str = "localhost") -> bytes:
    given = "".join(f"{field}\r\n" for field in (f"Host: {host}", "Content-Type: application/json", *fields))
    return f"{method} {path} HTTP/1.1\r\n{given}Content-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize("path", ["/", "/rpc", "/?any=thing"])
def test_both_servers_give_the_same_answers(door: RunningDoor, rpc: Rpc, path: str) -> None:
    for value in (
        CALL,
        [CALL, {**CALL, "method": "eth_nothing"}, 7],
        {**CALL, "method": "eth_getBalance", "params": [OWNERS[0].address, "latest"]},
        {"jsonrpc": "2.0", "method": "eth_chainId"},
        [],
        "text",
    ):
        body = json.dumps(value).encode()
        here = door.client.door.call("POST", path, body, Content_Type="application/json; charset=utf-8")
        there = rpc.raw(body)
        assert (here.status, here.body) == (there.status, there.body)
        assert {name: here.headers[name] for name in FIELDS} == {name: there.headers[name] for name in FIELDS}


@pytest.mark.parametrize(
    ("headers", "code"),
    [({"Content_Type": "text/plain"}, -32600), ({}, -32600), ({"Content_Encoding": "gzip"}, -32600)],
)
def test_other_bodies_are_no_requests(door: RunningDoor, rpc: Rpc, headers: dict[str, str], code: int) -> None:
    given = headers if "Content_Encoding" not in headers else {"Content_Type": "application/json", **headers}
    here = door.client.door.call("POST", "/", BODY, **given)
    assert here.ok()["error"]["code"] == code
    if given:
        assert here.body == rpc.client.door.call("POST", "/rpc", BODY, **given).body
    broken = door.client.door.call("POST", "/", b"{", Content_Type="application/json")
    assert broken.body == rpc.raw(b"{").body


def test_browsers_may_ask(door: RunningDoor) -> None:
    answer = door.client.door.call("OPTIONS", "/", None, Origin="https://any.example")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (_request(host="attacker.example"), 403, "host_refused"),
        (_request(BODY, "Host: localhost"), 400, "bad_host"),
        (b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 400, "bad_host"),
        (_request(path="/elsewhere"), 404, "not_found"),
        (_request(b"", method="GET"), 405, "method_not_allowed"),
        (_request(b"", method="DELETE"), 405, "method_not_allowed"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411, "length_required"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 104857600\r\n\r\n", 413, "too_large"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400, "bad_request"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400, "bad_request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "bad_request"),
        (b"nonsense\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 40_000, 431, "head_too_large"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 9_000 + b"\r\n", 431, "head_too_large"),
        (b"GET /" + b"x" * 40_000, 431, "head_too_large"),
    ],
)
def test_what_is_refused(door: RunningDoor, sent: bytes, status: int, code: str) -> None:
    head, _, body = _raw(door, sent).partition(b"\r\n\r\n")
    problem = json.loads(body)
    assert (int(head.split()[1]), problem["status"], problem["code"]) == (status, status, code)
    assert b"content-type: application/problem+json" in head and b"connection: close" in head
    assert door.rpc("eth_chainId") == "0x1092"
    assert door.door.arriving == 0


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", 403),
        (b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"HEAD /leases HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"HEAD /leases/1 HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"HEAD /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"HEAD / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 104857600\r\n\r\n", 413),
        (b"HEAD /no HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 404),
    ],
)
def test_an_answer_to_a_head_has_no_body(door: RunningDoor, sent: bytes, status: int) -> None:
    """Else whoever passes it on, such as a proxy, would take the body for the answer to another's request."""
    head, _, body = _raw(door, sent).partition(b"\r\n\r\n")
    assert (int(head.split()[1]), body) == (status, b"") and b"content-length: " in head
    assert b'"0x1092"' in _raw(door, _request(BODY, "Connection: close"))


def _padded(method: str, *params: Any, size: int = 20_000) -> bytes:
    """A call of `size` bytes. The node takes 10,000."""
    text = json.dumps({**CALL, "method": method, "params": params}).encode()
    return text[:-1] + b" " * (size - len(text)) + b"}"


@pytest.fixture
def small(make_node: MakeNode, tmp_path: Path) -> Iterator[RunningDoor]:
    """The door of a node whose bodies may have 10,000 bytes."""
    node, _ = rpc_node(make_node, tmp_path, MAX_BODY="10000")
    with RunningDoor(node) as running:
        yield running


def test_a_state_may_be_larger_than_other_bodies(small: RunningDoor) -> None:
    state = small.rpc("anvil_dumpState")
    body = _padded("anvil_loadState", state, size=200_000)
    for path in ("/", "/rpc"):
        found = small.client.door.call("POST", path, body, Content_Type="application/json")
        assert found.ok()["result"] is True
    small.client.door.call("POST", "/", body, Content_Type="application/json").ok()
    assert small.door.arriving == 0


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (_padded("eth_chainId"), {}),
        (_padded("anvil_dumpState"), {}),
        (b"[" + _padded("anvil_loadState", "0x") + b"]", {}),
        (_padded("anvil_loadState", "0x"), {"Origin": "https://example.org"}),
        (b"{" * 20_000, {}),
        (_padded("anvil_loadState", "0x")[:-1], {}),
        (_padded("anvil_loadState", "0x"), {"Content_Type": "text/plain"}),
        (_padded("anvil_loadState", "0x"), {"Content_Encoding": "gzip"}),
    ],
)
def test_nothing_else_may(small: RunningDoor, body: bytes, headers: dict[str, str]) -> None:
    given = {"Content_Type": "application/json", **headers}
    for _ in range(2):
        small.client.door.call("POST", "/", body, **given).refused(413, "too_large")
    small.client.door.call("POST", "/", _padded("anvil_loadState", "0x1f"), Content_Type="application/json").ok()
    assert small.rpc("eth_blockNumber") == "0x1"


def test_one_large_body_at_a_time(small: RunningDoor) -> None:
    body = _padded("anvil_loadState", small.rpc("anvil_dumpState"))
    given = {"Content_Type": "application/json"}
    with socket.create_connection(("127.0.0.1", small.port), timeout=10) as slow:
        slow.sendall(_request(body)[:5_000])
        eventually(lambda: small.door._large is not None)
        small.client.door.call("POST", "/", body, **given).refused(503, "too_many_bodies")
        small.rpc("eth_chainId")
    eventually(lambda: small.door._large is None)  # its sender is gone
    assert small.client.door.call("POST", "/", body, **given).ok()["result"] is True


def test_probes_answer_any_host(door: RunningDoor) -> None:
    for path, state in (("/healthz", "ok"), ("/readyz", "ready")):
        assert door.client.get(path, Host="10.0.0.9:8545").ok() == {"status": state}
        assert door.client.door.call("HEAD", path).status == 200


@pytest.mark.parametrize("error", [RedisError(), NotBegun()])
def test_readiness_is_that_of_the_store(
    door: RunningDoor, node: Node, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(node.chain), "tip", lambda self: (_ for _ in ()).throw(error))
    door.client.get("/readyz").refused(503, "store_unavailable")
    assert door.client.get("/healthz").ok() == {"status": "ok"}


def test_readiness_is_not_asked_for_where_too_many_requests_wait(
    door: RunningDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door.door.pool, "submit", lambda job: False)
    door.client.get("/readyz").refused(503, "too_many_waiting")


def test_readiness_is_that_of_the_store_on_a_chain_without_accounts(
    make_node: MakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its door serves miners."""
    node = make_node(SPEC="tutorial")
    with RunningDoor(node) as door:
        assert door.client.get("/readyz").ok() == {"status": "ready"}
        monkeypatch.setattr(type(node.chain), "tip", lambda self: (_ for _ in ()).throw(RedisError()))
        door.client.get("/readyz").refused(503, "store_unavailable")


def test_a_connection_serves_many_requests_also_sent_ahead(door: RunningDoor) -> None:
    last = _request(BODY, "Connection: close")
    found = _raw(door, _request() * 50 + last)
    assert found.count(b"HTTP/1.1 200 OK") == 51 and found.count(b'"0x1092"') == 51
    assert b'"0x1092"' in _raw(door, _request().replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert b'"0x1092"' in _raw(door, _request(), half=True)


def test_other_protocols_are_passed_over(door: RunningDoor) -> None:
    """Java's client asks for HTTP/2 with every request."""
    asks = _request(BODY, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ")
    assert _raw(door, asks + _request(BODY, "Connection: close")).count(b'"0x1092"') == 2


def test_a_wish_for_a_tunnel_is_refused(door: RunningDoor) -> None:
    """A parser of HTTP takes every CONNECT for the wish for another protocol, also when it reads it again."""
    for fields in ((), ("Connection: Upgrade", "Upgrade: websocket"), ("Connection: Upgrade", "Upgrade: h2c")):
        answer = _raw(door, _request(b"", *fields, method="CONNECT", path="localhost:1"))
        assert answer.startswith(b"HTTP/1.1 405 ")
    assert b'"0x1092"' in _raw(door, _request(BODY, "Connection: close"))


def test_many_other_wishes_at_once_are_passed_over(door: RunningDoor) -> None:
    asks = b"OPTIONS / HTTP/1.1\r\nHost:localhost\r\nUpgrade:a\r\nConnection:Upgrade\r\n\r\n"
    answers = _raw(door, asks * 900 + _request(BODY, "Connection: close"))
    assert (answers.count(b"HTTP/1.1 204 "), answers.count(b'"0x1092"')) == (900, 1)


def test_bodies_may_wait_to_be_asked_for(door: RunningDoor) -> None:
    with socket.create_connection(("127.0.0.1", door.port), timeout=10) as connection:
        head, _, _ = _request(BODY, "Expect: 100-continue").partition(b"\r\n\r\n")
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(BODY)
        assert b'"0x1092"' in connection.recv(4096)


@pytest.mark.parametrize(
    ("sent", "later", "status", "code"),
    [
        (b"", limits.HEAD_SECONDS, 408, "head_too_slow"),
        (b"POST / HTTP/1.1\r\nHost: ", limits.HEAD_SECONDS, 408, "head_too_slow"),
        (_request()[:-5], limits.BODY_SECONDS, 408, "body_too_slow"),
    ],
)
def test_slow_senders_are_ended(door: RunningDoor, sent: bytes, later: float, status: int, code: str) -> None:
    with socket.create_connection(("127.0.0.1", door.port), timeout=10) as connection:
        connection.sendall(sent)
        eventually(
            lambda: (
                len(door.door.callers) == 1
                and (not sent.startswith(b"POST / HTTP/1.1\r\nHost: l") or door.door.arriving)
            )
        )
        door.look(later - 2)
        assert door.door.ended == {}
        door.look(later + 1)
        assert connection.recv(4096).startswith(b"HTTP/1.1 %d " % status)
        assert door.door.ended == {code: 1}
        door.look(later + limits.LINGER_SECONDS + 3)
        eventually(lambda: not door.door.callers)
    assert door.door.arriving == 0


def test_idle_connections_are_ended(door: RunningDoor) -> None:
    with socket.create_connection(("127.0.0.1", door.port), timeout=10) as connection:
        connection.sendall(_request())
        assert b'"0x1092"' in connection.recv(4096)
        door.look(limits.IDLE_SECONDS - 2)
        assert len(door.door.callers) == 1
        door.look(limits.IDLE_SECONDS + 2)
        assert connection.recv(4096) == b""


def test_too_many_connections_are_refused(door: RunningDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.door.limits.MAX_CONNECTIONS", 2)
    with (
        socket.create_connection(("127.0.0.1", door.port), timeout=10),
        socket.create_connection(("127.0.0.1", door.port), timeout=10),
    ):
        eventually(lambda: len(door.door.callers) == 2)
        assert b"too_many_connections" in _raw(door, b"")
    eventually(lambda: not door.door.callers)
    assert door.rpc("eth_chainId") == "0x1092"
