"""Leases at the door: the same answers as on the API's port, and thousands that wait."""

import json
import os
import socket
import threading
import time
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from api.app import create_app
from api.door.leases import Listener
from api.door.requests import Refusal
from services.connections.servers import RedisError
from services.node import Node
from shared.proof import accepts
from tests.support.door import RunningDoor
from tests.support.http import Answer, Client, FlaskDoor
from tests.support.keys import TOKEN
from tests.support.nodes import MakeNode, grow
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import eventually

LEASE = {"name": "anna", "rate": 10_000}


@pytest.fixture
def node(make_node: MakeNode) -> Node:
    return make_node(spec={"difficulty": 5000})


def test_a_miner_mines_there(door: RunningDoor, node: Node, voucher: dict[str, str]) -> None:
    assert door.client.post("/leases", LEASE, **voucher).status == 204
    node.requests.ask()
    proof = None
    while proof is None:
        found = door.client.post("/leases", LEASE, **voucher).ok()
        proofs = range(found["start"], found["stop"])
        proof = next((each for each in proofs if accepts(found["seal"].encode(), 5000, each)), None)
    answer = door.client.post(f"/leases/{found['lease']}", {"shares": [proof], "hashes": 5}, **voucher).ok()
    assert (answer["accepted"], answer["sealed"]) == (1, node.chain.tip().hash)


def test_both_ports_refuse_alike(door: RunningDoor, node: Node, voucher: dict[str, str]) -> None:
    node.requests.ask()
    api = Client(FlaskDoor(create_app(node, TOKEN)))
    found = api.post("/leases", LEASE, **voucher).ok()
    report = f"/leases/{found['lease']}"

    def both(path: str, body: object, **headers: str) -> tuple[Answer, Answer]:
        here, there = (client.post(path, body, **headers) for client in (door.client, api))
        assert (here.status, here.json) == (there.status, there.json), path
        for name in ("retry-after", "www-authenticate", "content-type"):
            assert here.headers.get(name) == there.headers.get(name), (path, name)
        return here, there

    for body in ([], {}, {"name": "", "rate": 5}, {"name": "a", "rate": 0}, {"name": "a", "rate": 5, "address": "x"}):
        both("/leases", body, **voucher)
    for body in ([], {}, {"shares": [1], "hashes": -1}, {"shares": [-1], "hashes": 1}, {"shares": 5, "hashes": 1}):
        both(report, body, **voucher)
    both("/leases?wait=x", LEASE, **voucher)
    both("/leases?wait=61", LEASE, **voucher)
    both("/leases", LEASE, Authorization="Bearer nobody")
    both("/leases", LEASE)
    both(report, {"shares": [], "hashes": 1}, Authorization="Bearer nobody")
    both("/leases/nothing", {"shares": [], "hashes": 1}, **voucher)
    for kind, encoding in (("text/plain", "identity"), ("application/json", "gzip")):
        headers = {"Content_Type": kind, "Content_Encoding": encoding, **voucher}
        here, there = (each.door.call("POST", "/leases", b"{}", **headers) for each in (door.client, api))
        assert (here.status, here.json) == (there.status, there.json) and here.status == 415
    for body in (b"", b"{", b'{"name": 1.5}'):
        headers = {"Content_Type": "application/json", **voucher}
        here, there = (each.door.call("POST", "/leases", body, **headers) for each in (door.client, api))
        assert (here.status, here.json) == (there.status, there.json) and here.status == 400
    assert door.client.get("/leases").status == 405


def test_many_wait_for_a_round(door: RunningDoor, node: Node, voucher: dict[str, str]) -> None:
    """More than the API has threads for."""
    body = json.dumps(LEASE).encode()
    head = f"Host: localhost\r\nContent-Type: application/json\r\nAuthorization: {voucher['Authorization']}\r\n"
    request = f"POST /leases?wait=60 HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    with ExitStack() as stack:
        waiting = []
        for number in range(200):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", door.port), timeout=30))
            # A miner holds 64 leases at most.
            connection.sendall(request.replace(b'"anna"', b'"m%03d"' % (number % 999)))
            waiting.append(connection)
        eventually(lambda: len(door.door.lease_news.waiters) == 200, 60, "200 that wait")
        node.requests.ask()
        for connection in waiting:
            assert connection.recv(12) == b"HTTP/1.1 200"
    eventually(lambda: not door.door.lease_news.waiters)


def test_who_waits_in_vain_is_told_so(door: RunningDoor, voucher: dict[str, str]) -> None:
    began = time.monotonic()
    answer = door.client.post("/leases?wait=0.3", LEASE, **voucher)
    assert (answer.status, answer.headers["retry-after"], answer.body) == (204, "1", b"")
    assert time.monotonic() - began >= 0.3
    eventually(lambda: not door.door.lease_news.waiters)


def test_who_leaves_while_it_waits_is_forgotten(door: RunningDoor, node: Node, voucher: dict[str, str]) -> None:
    thread = threading.Thread(target=lambda: door.client.post("/leases?wait=1", LEASE, **voucher))
    thread.start()
    eventually(lambda: len(door.door.lease_news.waiters) == 1)
    thread.join(10)
    eventually(lambda: not door.door.lease_news.waiters)
    node.requests.ask()
    assert door.client.post("/leases", LEASE, **voucher).ok()["height"] == 2


def test_news_of_the_tip_for_many(door: RunningDoor, node: Node) -> None:
    with ExitStack() as stack:
        streams = []
        for _ in range(200):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", door.port), timeout=10))
            connection.sendall(b"GET /leases/news HTTP/1.1\r\nHost: localhost\r\n\r\n")
            streams.append(stack.enter_context(connection.makefile("rb")))
        for stream in streams:
            assert told(stream) == node.chain.tip().hash
        before = node.chain.tip().hash
        grow(node)
        watch = Stopwatch(os.getpid())
        for stream in streams:
            tip = told(stream)
            assert tip in (before, node.chain.tip().hash)
            if tip == before:  # the reader has begun meanwhile, and told it too
                assert told(stream) == node.chain.tip().hash
        assert watch.seconds() < 5
    watch = Stopwatch(os.getpid())
    assert watch.until(lambda: not door.door.lease_news.listeners) < 5, "before the next comment is sent to them"


def told(stream: socket.SocketIO) -> str:
    """The next tip of a stream."""
    while line := stream.readline():
        if line.startswith(b"data: "):
            return str(json.loads(line[6:])["tip"])
    raise AssertionError("the stream has ended")


def test_a_look_at_the_news_ends(door: RunningDoor) -> None:
    answer = door.client.door.call("HEAD", "/leases/news")
    assert (answer.status, answer.type) == (200, "text/event-stream")


def test_the_reader_of_news_ends_with_the_loop(node: Node) -> None:
    """Though a listener is there still: nobody takes it off the list any more."""
    before = set(threading.enumerate())
    with RunningDoor(node) as running:
        running.door.lease_news.listeners.add(Mock())
        running.door.lease_news.begin()
        readers = [thread for thread in set(threading.enumerate()) - before if thread.name == "lease-news"]
        assert readers
    for reader in readers:
        reader.join(20)
        assert not reader.is_alive()


class Stream:
    """A connection of a listener, which notes what it is sent."""

    def __init__(self, node: Node, room: bool = True) -> None:
        self.sent: list[bytes] = []
        self.refused: list[Refusal] = []
        self.jobs: list[Any] = []
        self.door = SimpleNamespace(
            node=node,
            lease_news=SimpleNamespace(listeners=set(), begin=lambda: None),
            pool=SimpleNamespace(submit=lambda job: room and (self.jobs.append(job), True)[1]),
        )
        self.begin = lambda: None
        self.begin_stream = lambda fields, ended: None
        self.send_more = self.sent.append
        self.refuse = self.refused.append


def test_no_older_tip_follows_a_newer_one(node: Node) -> None:
    """The reader of the news may be quicker than the thread that reads the first tip."""
    late, early = Stream(node), Stream(node)
    for stream in (late, early):
        listener = Listener(stream)  # type: ignore[arg-type]
        listener.open()
        listener.send(b": still here\n\n")
        stream.jobs[0].run()
        if stream is late:
            listener.send(b"event: tip\ndata: newer\n\n")
        stream.jobs[0].finish()
    assert [message[:10] for message in late.sent] == [b": still he", b"event: tip"] and b"newer" in late.sent[1]
    assert node.chain.tip().hash.encode() in early.sent[1]


def test_news_without_a_thread_or_a_store(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    full = Stream(node, room=False)
    Listener(full).open()  # type: ignore[arg-type]
    assert [refusal.status for refusal in full.refused] == [503] and not full.door.lease_news.listeners
    stream = Stream(node)
    Listener(stream).open()  # type: ignore[arg-type]
    monkeypatch.setattr(type(node.chain), "tip", lambda chain: (_ for _ in ()).throw(RedisError()))
    stream.jobs[0].run()
    stream.jobs[0].finish()
    assert stream.sent == []  # the reader tells the tip when the store is there again
