"""WebSockets: every method of `/rpc`, and what is refused: with one clear close code each, and bounded memory."""

import json
import select
import struct
from pathlib import Path
from typing import Any

import pytest

from api.door import limits, websocket
from services.node import Node
from tests.integration.rpc.client import OWNERS, Rpc, rpc_node
from tests.support.door import Closed, RunningDoor, Socket, frame
from tests.support.nodes import MakeNode
from tests.support.waiting import eventually

ADDRESS = OWNERS[0].address


def test_answers_are_those_of_rpc(door: RunningDoor, rpc: Rpc) -> None:
    calls: list[Any] = [
        {"jsonrpc": "2.0", "id": 1, "method": "eth_getBalance", "params": [ADDRESS, "latest"]},
        {"jsonrpc": "2.0", "id": "a", "method": "eth_getBlockByNumber", "params": ["latest", True]},
        [{"jsonrpc": "2.0", "id": number, "method": "eth_chainId"} for number in range(3)],
        [{"jsonrpc": "2.0", "id": 1, "method": "eth_nothing"}, 7],
        {"jsonrpc": "2.0", "id": 2, "method": "eth_getBalance", "params": ["0x1"]},
        [],
        7,
    ]
    with door.socket() as one:
        assert one.status == 101
        for call in calls:
            one.send(call)
            assert one.message() == rpc.post(call).ok() == door.client.post("/", call).ok()
        one.send({"jsonrpc": "2.0", "method": "eth_chainId"})  # a notification
        one.send(b"{")
        assert one.message() == rpc.raw(b"{").ok()


def test_requests_are_answered_side_by_side(door: RunningDoor) -> None:
    with door.socket() as one:
        for number in range(100):
            one.send({"jsonrpc": "2.0", "id": number, "method": "eth_blockNumber"})
        assert {one.message()["id"] for _ in range(100)} == set(range(100))


def test_parts_of_a_message_are_put_together(door: RunningDoor) -> None:
    text = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}).encode()
    with door.socket() as one:
        one.frame(1, text[:10], fin=False)
        one.frame(9, b"ping")  # control frames may come in between
        one.frame(0, b"", fin=False)
        one.frame(0, text[10:])
        assert one.receive() == (10, b"ping")
        assert one.message()["result"] == "0x1092"
        whole = frame(1, text)
        for start in range(0, len(whole), 7):  # half frames
            one.socket.sendall(whole[start : start + 7])
        assert one.message()["result"] == "0x1092"
    assert eventually(lambda: door.door.arriving == 0)


def test_binary_messages_are_json_too(door: RunningDoor) -> None:
    """web3.py sends them."""
    with door.socket() as one:
        for sent, code in ((b"{", -32700), (b'{"id":"\xff"}', -32700), (bytes(range(256)), -32700), (b"7", -32600)):
            one.frame(2, sent)
            assert one.message()["error"]["code"] == code
        one.frame(2, b'{"jsonrpc":"2.0","id":1,', fin=False)
        one.frame(0, b'"method":"eth_chainId"}')
        assert one.message()["result"] == "0x1092"


BAD = {
    "bad utf-8": (frame(1, b'{"id":"\xff"}'), 1007),
    "bad utf-8 in parts": (frame(1, b"\xc3", fin=False) + frame(0, b"\x28"), 1007),
    "100 MB": (frame(1, b"x" * 1000, length=100 * 2**20), 1009),
    "100 MB in parts": (b"".join([frame(1, bytes(2**19), fin=False), *[frame(0, bytes(2**19), fin=False)] * 3]), 1009),
    "not masked": (frame(1, b"{}", masked=False), 1002),
    "unknown opcode": (frame(5, b"{}"), 1002),
    "a part without a beginning": (frame(0, b"{}"), 1002),
    "two beginnings": (frame(1, b"{", fin=False) + frame(1, b"}"), 1002),
    "reserved bits": (bytes([0xC1]) + frame(1, b"{}")[1:], 1002),
    "a long ping": (frame(9, bytes(126)), 1002),
    "a ping in parts": (frame(9, b"", fin=False), 1002),
    "a bad close code": (frame(8, struct.pack("!H", 1005)), 1002),
    "negative length": (b"\x81\xff" + b"\xff" * 8 + bytes(4), 1009),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_frames_are_refused_with_a_code(door: RunningDoor, name: str) -> None:
    sent, code = BAD[name]
    with door.socket() as one, door.socket() as other:
        one.socket.sendall(sent)
        closed = one.closing()
        assert closed.code == code, closed
        assert other.ask("eth_chainId")["result"] == "0x1092"  # the others are served
    assert eventually(lambda: not door.door.sockets) and door.door.arriving == 0


def test_a_client_closes_and_is_answered(door: RunningDoor) -> None:
    with door.socket() as one:
        one.frame(8, struct.pack("!H", 1000) + b"bye")
        closed = one.closing()
        assert (closed.code, closed.reason) == (1000, "bye")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "attacker.example"}, 403),
        ({"Sec_WebSocket_Version": "8"}, 400),
        ({"Sec_WebSocket_Key": "short"}, 400),
        ({"path": "/elsewhere"}, 404),
        ({"path": "/rpc"}, 101),
        ({"Origin": "https://any.example"}, 101),
        ({"Sec_WebSocket_Extensions": "permessage-deflate"}, 101),
    ],
)
def test_handshakes(door: RunningDoor, headers: dict[str, str], status: int) -> None:
    with Socket(door.port, **headers) as one:
        assert one.status == status


def test_messages_of_all_clients_together_are_bounded(door: RunningDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.door.door.MAX_ARRIVING", 3 * 2**19)
    half = frame(1, bytes(2**20))[: 2**19]
    with door.socket() as first, door.socket() as second, door.socket() as third, door.socket() as fourth:
        for number, one in enumerate((first, second), start=1):
            one.socket.sendall(half)
            eventually(lambda number=number: door.door.arriving >= number * 2**19)  # type: ignore[misc]
        third.socket.sendall(half)
        fourth.socket.sendall(half)
        refused = eventually(lambda: door.door.ended.get("too_many_bodies"))
        assert refused >= 1 and door.door.arriving <= 3 * 2**19
        refused_ones, _, _ = select.select([third.socket, fourth.socket], [], [], 10)
        assert refused_ones and all(each.socket not in refused_ones for each in (first, second))
        late = third if third.socket in refused_ones else fourth
        assert late.closing().code == 1013


def test_a_message_that_does_not_end_is_cut_off(door: RunningDoor) -> None:
    with door.socket() as one, door.socket() as quiet:
        one.socket.sendall(frame(1, bytes(1000))[:500])
        eventually(lambda: door.door.arriving)
        door.look(limits.BODY_SECONDS - 1)
        assert door.door.ended == {}
        door.look(limits.BODY_SECONDS + 1)
        closed = one.closing()
        assert (closed.code, closed.reason) == (1008, "a message has 10 seconds at most")
        assert quiet.ask("eth_chainId")["result"] == "0x1092"
    assert eventually(lambda: door.door.arriving == 0)


def test_silent_clients_are_pinged_and_the_dead_are_cut_off(door: RunningDoor) -> None:
    with door.socket() as one, door.socket() as other:
        later = limits.PING_SECONDS + 1
        door.look(later)
        assert one.receive() == (9, b"") == other.receive()
        other.frame(10, b"")
        assert other.ask("eth_chainId")["result"] == "0x1092"  # so the pong has arrived, too
        door.look(later + limits.PONG_SECONDS + 1)
        closed = one.closing()
        assert (closed.code, closed.reason) == (1008, "no answer to a ping")
        assert other.receive()[0] == 9


def test_more_sockets_than_allowed_are_refused(door: RunningDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.door.limits.MAX_SOCKETS", 2)
    with door.socket() as first, door.socket(), door.socket() as third:
        assert (first.status, third.status) == (101, 503)
        assert door.rpc("eth_chainId") == "0x1092"  # HTTP has room
    eventually(lambda: not door.door.sockets)
    with door.socket() as again:
        assert again.status == 101


def test_a_client_that_does_not_take_its_answers_is_bounded_and_cut_off(make_node: MakeNode, tmp_path: Path) -> None:
    node, _ = rpc_node(make_node, tmp_path)
    with RunningDoor(node) as door, Socket(door.port, receive_buffer=4096) as one, door.socket() as other:
        asked = [{"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber", "params": ["latest", True]}] * 50
        text = frame(1, json.dumps(asked).encode())
        one.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):  # the door no longer reads
            for _ in range(2_000):
                one.socket.sendall(text)
        (held,) = eventually(lambda: [each for each in door.door.sockets if each.unsent])
        assert held.unsent < limits.HIGH_WATER + (limits.MAX_RUNNING + 1) * 200_000
        assert other.ask("eth_chainId")["result"] == "0x1092"
        door.look()
        door.look(limits.READ_SECONDS + 1)
        assert door.door.ended == {"slow_reader": 1}
        one.socket.settimeout(10)
        closed = one.closing()
        assert (closed.code, closed.reason) == (1008, "too slow: answers were not read")
        assert other.ask("eth_chainId")["result"] == "0x1092"


def test_control_methods_are_for_pages_of_this_machine(
    make_node: MakeNode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from api.rpc.method_table import METHODS, Method

    monkeypatch.setitem(METHODS, "test_control", Method(lambda node: "done", 0, 0, controls=True))
    node = make_node(SPEC="dev")
    with RunningDoor(node) as door:
        for origin, allowed in ((None, True), ("http://localhost:3000", True), ("https://any.example", False)):
            headers = {} if origin is None else {"Origin": origin}
            asked = {"jsonrpc": "2.0", "id": 1, "method": "test_control"}
            with Socket(door.port, **headers) as one:
                found = [one.ask("test_control"), door.client.post("/", asked, **headers).ok()]
            assert [answer.get("result") for answer in found] == [("done" if allowed else None)] * 2
            assert allowed or {answer["error"]["code"] for answer in found} == {-32601}


def test_the_door_says_that_it_ends(node: Node) -> None:
    with RunningDoor(node) as door:
        one = door.socket()
    assert isinstance(one.closing(), Closed) and websocket.GOING_AWAY == 1001
    one.socket.close()
