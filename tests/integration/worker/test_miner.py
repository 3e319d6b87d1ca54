"""`quarry miner` against a node's API in this process, and a node that is none."""

import http.server
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from api.app import create_app
from services.node import Node
from tests.support.door import RunningDoor
from tests.support.keys import ALICE, TOKEN
from tests.support.nodes import MakeNode, grow
from tests.support.serving import serving
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import eventually
from worker.kernel.plain import PlainKernel
from worker.miner.board import Board
from worker.miner.door import Away, LeaseDoor, Refused
from worker.miner.news import hear
from worker.miner.search import Search


@pytest.fixture
def node(make_node: MakeNode) -> Node:
    return make_node(spec={"difficulty": 20_000})


@pytest.fixture
def url(node: Node) -> Iterator[str]:
    with serving(create_app(node, TOKEN)) as found:
        yield found


@contextmanager
def mining(url: str, voucher: str, speed: float = 100_000.0) -> Iterator[Board]:
    board = Board()
    search = Search(LeaseDoor(url, voucher, "rig", ALICE.address), PlainKernel(), speed, board)
    thread = threading.Thread(target=search.run)
    thread.start()
    try:
        yield board
    finally:
        board.stop()
        thread.join(10)
        search.close()
        assert not thread.is_alive()


def test_it_mines_block_after_block(node: Node, url: str) -> None:
    secret = node.leases.vouchers.new("class").secret
    for _ in range(3):
        node.requests.ask()
    with mining(url, secret) as board:
        eventually(lambda: node.chain.tip().height == 4, 60, "three blocks")
        eventually(lambda: board.count("blocks") == 3)
    [miner] = node.leases.miners(10)
    assert (miner.name, miner.blocks, miner.address, miner.refused) == ("rig", 3, ALICE.address, 0)
    assert miner.credited == board.count("credited") > 0
    assert miner.reported == board.count("hashes") and board.failure == ""


@pytest.mark.parametrize("server", ["API", "door"])  # one sends events in chunks, and the other without
def test_news_of_a_new_tip_ends_the_work_for_the_old_one(node: Node, url: str, server: str) -> None:
    board = Board()
    with RunningDoor(node) as running:
        door = LeaseDoor(url if server == "API" else f"http://127.0.0.1:{running.port}", "-", "rig", None)
        thread = threading.Thread(target=hear, args=(door, board), daemon=True)
        thread.start()
        for _ in range(2):
            eventually(lambda: board.tip == node.chain.tip().hash)
            watch = Stopwatch(os.getpid())
            grow(node)
            assert watch.until(lambda: board.tip == node.chain.tip().hash) < 1
        board.stop()
        grow(node)  # wakes the reader
        thread.join(10)
        assert not thread.is_alive()


def test_a_lease_of_an_old_tip_is_left(node: Node, url: str) -> None:
    """No block is found in it, so without news the miner would search it to its end."""
    secret = node.leases.vouchers.new("class").secret
    node.requests.ask()
    board = Board()
    search = Search(LeaseDoor(url, secret, "rig", None), PlainKernel(), 1000.0, board)
    lease = search._await(search._threads.submit(search._take))
    assert lease is not None and search._is_good(lease) and board.tip == lease.tip
    board.hear(2, "f" * 64)
    assert not search._is_good(lease)
    board.hear_of_lease(1, lease.tip)  # a late answer does not take it back
    assert board.tip == "f" * 64
    search.close()


def test_a_voucher_that_is_revoked_ends_the_miner(node: Node, url: str) -> None:
    secret = node.leases.vouchers.new("class").secret
    node.requests.ask()
    with mining(url, secret) as board:
        eventually(lambda: board.count("hashes") > 0)
        node.leases.vouchers.revoke("class")
        eventually(lambda: board.is_stopping)
        assert "revoked" in board.failure


def test_it_waits_for_a_node_that_is_away(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.miner.search.LONGEST_PAUSE", 0.2)
    secret = node.leases.vouchers.new("class").secret
    node.requests.ask()
    door = LeaseDoor("http://127.0.0.1:9", secret, "rig", None)
    with pytest.raises(Away):
        door.take(1, 0.0)
    with mining("http://127.0.0.1:9", secret) as board:
        eventually(lambda: board.is_away)
        assert not board.failure


ANSWERS: list[tuple[int, bytes]] = [
    (200, b""),
    (200, b"[]"),
    (200, b"{}"),
    (200, b"\xff\xfe"),
    (200, b"[" * 60_000),
    (200, b"9" * 60_000),
    (200, b"{" * 100_000),
    (500, b"<h1>oops</h1>"),
    (503, b'{"detail": 7}'),
    (302, b""),
    (429, b'{"code": "too_many_leases", "detail": "x"}'),
]
GOOD = {
    "lease": "a" * 32, "round": "b" * 32, "height": 2, "tip": "c" * 64, "seal": "d" * 64, "difficulty": 9,
    "share_difficulty": 3, "start": 0, "stop": 10, "expires": 1,
}  # fmt: skip
BAD = [
    {"start": -1}, {"stop": 0}, {"stop": 2**60}, {"start": "0"}, {"seal": None}, {"seal": "\u202e"},
    {"seal": "x" * 300},
    {"difficulty": 0}, {"share_difficulty": True}, {"height": 1.5}, {"lease": ["a"]}, {"tip": None},
]  # fmt: skip


@pytest.fixture(scope="module")
def stranger() -> Iterator[tuple[str, list[tuple[int, bytes]]]]:
    """A server that answers whatever it is told to."""
    answers: list[tuple[int, bytes]] = [(200, b"")]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, body = answers[-1]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = lambda self: (self.headers.__setitem__("Content-Length", "0"), self.do_POST())[0]  # noqa: E731

        def log_message(self, *_: Any) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", answers
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("answer", [*ANSWERS, *((200, json.dumps(GOOD | bad).encode()) for bad in BAD)])
def test_whatever_is_answered_the_miner_only_asks_again(
    stranger: tuple[str, list[tuple[int, bytes]]], answer: tuple[int, bytes]
) -> None:
    url, answers = stranger
    door = LeaseDoor(url, "-", "rig", None)
    answers.append((200, json.dumps(GOOD).encode()))
    lease = door.take(1, 0.0)
    assert not isinstance(lease, float) and lease.proofs == range(10)
    answers.append(answer)
    with pytest.raises(Away):
        door.take(1, 0.0)
    with pytest.raises(Away):
        door.report(lease, [1], 1)
    with pytest.raises(Away):
        list(door.tips(1.0))
    door.close()


def test_no_round_and_refusals(stranger: tuple[str, list[tuple[int, bytes]]]) -> None:
    url, answers = stranger
    door = LeaseDoor(url, "-", "rig", None)
    answers.append((204, b""))
    assert door.take(1, 0.0) == 1.0
    answers.append((401, b'{"code": "unknown_voucher", "detail": "No."}'))
    with pytest.raises(Refused, match="No"):
        door.take(1, 0.0)
    door.close()
