"""Connections of miners at the door, which are read together: whatever else comes on them."""

import json
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from services.node import Node
from tests.support.door import RunningDoor
from tests.support.nodes import MakeNode
from tests.support.waiting import eventually

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="there is no epoll")


@pytest.fixture
def node(make_node: MakeNode) -> Node:
    node = make_node(spec={"difficulty": 10**9})
    node.requests.ask()
    return node


@pytest.fixture
def door(node: Node) -> Iterator[RunningDoor]:
    with RunningDoor(node) as running:
        yield running


class Miner:
    """A connection of a miner that was answered, byte by byte."""

    def __init__(self, door: RunningDoor, node: Node, voucher: str) -> None:
        self.voucher = voucher
        self.socket = socket.create_connection(("127.0.0.1", door.port), timeout=20)
        self._stream = self.socket.makefile("rb")
        self.lease = self.ask("/leases", {"name": "a", "rate": 1})[1]
        eventually(lambda: len(door.door.lease_batches.gathering) > 0)

    def __enter__(self) -> "Miner":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self.socket.close()

    def request(self, path: str, value: Any, *, fields: str = "") -> bytes:
        body = json.dumps(value).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self.voucher}\r\n{fields}"
        return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    def ask(self, path: str, value: Any, **options: str) -> tuple[int, Any]:
        self.socket.sendall(self.request(path, value, **options))
        return self.answer()

    def answer(self) -> tuple[int, Any]:
        """Status and JSON of the next answer."""
        status = int(self._stream.readline().split()[1])
        length = 0
        while (line := self._stream.readline()) not in (b"\r\n", b""):
            if line.startswith(b"content-length"):
                length = int(line.partition(b":")[2])
        return status, json.loads(self._stream.read(length) or b"null")

    def report(self) -> bytes:
        return self.request(f"/leases/{self.lease['lease']}", {"shares": [], "hashes": 1})


@pytest.fixture
def voucher(node: Node) -> str:
    return node.leases.vouchers.new("class").secret


@pytest.fixture
def miner(door: RunningDoor, node: Node, voucher: str) -> Iterator[Miner]:
    with Miner(door, node, voucher) as found:
        yield found


def test_a_miner_goes_on(miner: Miner, door: RunningDoor) -> None:
    for number in range(5):
        assert miner.ask("/leases", {"name": "a", "rate": 1})[0] == 200
        miner.socket.sendall(miner.report())
        assert miner.answer() == (200, {"accepted": 0, "rejected": 0, "credited": 0, "sealed": None, "stale": False})
        assert len(door.door.lease_batches.gathering) == 1, number


def test_the_same_head_with_another_body_is_another_request(miner: Miner, node: Node) -> None:
    names = [f"miner {number}" for number in range(4)]
    assert [miner.ask("/leases", {"name": name, "rate": 1})[0] for name in names] == [200] * 4
    assert {each.name for each in node.leases.miners(10)} == {"a", *names}
    assert miner.ask("/leases", {"name": "", "rate": 1})[0] == 400
    assert miner.ask("/leases", {"name": "b", "rate": 1})[0] == 200


def test_a_voucher_that_is_revoked_stops_at_once(miner: Miner, node: Node) -> None:
    node.leases.vouchers.revoke("class")
    status, answer = miner.ask("/leases", {"name": "a", "rate": 1})
    assert (status, answer["code"]) == (401, "unknown_voucher")
    miner.socket.sendall(miner.report())
    assert miner.answer()[0] == 401


def test_several_requests_at_once_are_answered_in_their_order(miner: Miner) -> None:
    wanted = [miner.request("/leases", {"name": f"m{number}", "rate": 1}) for number in range(8)]
    miner.socket.sendall(b"".join([miner.report(), *wanted, miner.report()]))
    answers = [miner.answer() for _ in range(10)]
    assert [status for status, _ in answers] == [200] * 10
    assert ["lease" in answer for _, answer in answers] == [False, *[True] * 8, False]
    assert miner.ask("/leases", {"name": "a", "rate": 1})[0] == 200


def test_a_request_may_come_in_pieces(miner: Miner) -> None:
    data = miner.report()
    for start in range(0, len(data), 40):
        miner.socket.sendall(data[start : start + 40])
        eventually(lambda: _unread(miner.socket) == 0)
    assert miner.answer()[0] == 200


def _unread(connection: socket.socket) -> int:
    """Bytes that the other side has not acknowledged."""
    import fcntl
    import struct
    import termios

    return int(struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0" * 4))[0])


def test_wallets_methods_and_sockets_on_the_same_connection(miner: Miner, door: RunningDoor) -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
    assert miner.ask("/", call)[1]["result"]
    assert len(door.door.lease_batches.gathering) == 0
    assert miner.ask("/leases", {"name": "a", "rate": 1})[0] == 200
    eventually(lambda: len(door.door.lease_batches.gathering) == 1)
    miner.socket.sendall(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert miner.answer()[0] == 101
    assert len(door.door.lease_batches.gathering) == 0


def test_a_head_on_the_same_connection_changes_no_answer(miner: Miner) -> None:
    for _ in range(3):  # from the second time on, the head of the miner's request is known
        miner.socket.sendall(miner.report())
        status, answer = miner.answer()
        assert status == 200 and answer["accepted"] == 0
        assert miner.ask("/", {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []})[1]["result"]
        miner.socket.sendall(b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert miner.answer() == (200, None)


def test_who_says_close_gets_its_answer_first(miner: Miner, door: RunningDoor) -> None:
    assert miner.ask("/leases", {"name": "a", "rate": 1}, fields="Connection: close\r\n")[0] == 200
    assert miner.socket.recv(1) == b""
    miner.__exit__()
    eventually(lambda: not door.door.callers and not len(door.door.lease_batches.gathering))


@pytest.mark.parametrize("end", ["after a request", "in a request", "reset", "at once"])
def test_who_ends_is_forgotten(miner: Miner, door: RunningDoor, end: str) -> None:
    data = miner.report()
    if end != "at once":
        miner.socket.sendall(data if end != "in a request" else data[:50])
    if end == "reset":
        miner.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    if end == "after a request":
        miner.socket.shutdown(socket.SHUT_WR)
        assert miner.answer()[0] == 200
        eventually(lambda: not len(door.door.lease_batches.gathering))
        door.look(later=10)
    miner.__exit__()
    eventually(lambda: not door.door.callers and not len(door.door.lease_batches.gathering))
    assert door.rpc("eth_chainId")


def test_silence_ends_a_miner_too(miner: Miner, door: RunningDoor) -> None:
    door.look(later=80)
    assert miner.socket.recv(1) == b""
    eventually(lambda: not door.door.callers and not len(door.door.lease_batches.gathering))


def test_half_a_request_has_its_time(miner: Miner, door: RunningDoor) -> None:
    miner.socket.sendall(miner.report()[:50])
    [connection] = door.door.callers
    eventually(lambda: connection._stage == "head")
    door.look(later=15)
    assert miner.answer()[1]["code"] == "head_too_slow"


def test_many_miners_and_one_that_sends_rubbish(door: RunningDoor, node: Node, voucher: str) -> None:
    with ExitStack() as stack:
        miners = [stack.enter_context(Miner(door, node, voucher)) for _ in range(20)]
        for miner in miners[1:]:
            miner.socket.sendall(miner.report())
        miners[0].socket.sendall(b"\0rubbish\r\n\r\n")
        assert miners[0].answer()[0] == 400
        assert [miner.answer()[0] for miner in miners[1:]] == [200] * 19
    eventually(lambda: not door.door.callers and not len(door.door.lease_batches.gathering))
