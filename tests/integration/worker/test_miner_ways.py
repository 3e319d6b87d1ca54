"""`quarry miner` with the URL of a node's API works at the node's `quarry rpc`, and at the API while that is away."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from api.app import create_app
from services.launch.ports import reserved
from services.node import Node
from services.system.programs import ROOT, module_command, scrubbed
from tests.support.door import RunningDoor
from tests.support.fake_node import FakeNode
from tests.support.keys import TOKEN
from tests.support.nodes import MakeNode
from tests.support.serving import serving
from tests.support.waiting import eventually
from worker.kernel.plain import PlainKernel
from worker.miner import ways
from worker.miner.board import Board
from worker.miner.door import LeaseDoor, headers_of
from worker.miner.news import hear
from worker.miner.search import Search


@pytest.fixture
def port() -> Iterator[int]:
    """Of the node's `quarry rpc`, which runs when a test starts it."""
    with reserved("127.0.0.1", 0) as found:
        yield found


@pytest.fixture
def node(make_node: MakeNode, port: int) -> Node:
    return make_node(spec={"difficulty": 20_000}, RPC_PORT=str(port))


@pytest.fixture
def asked() -> list[str]:
    """The paths that the node's API is asked for."""
    return []


@pytest.fixture
def url(node: Node, asked: list[str]) -> Iterator[str]:
    app = create_app(node, TOKEN)

    def noting(environ: dict[str, Any], start_response: Any) -> Any:
        asked.append(environ["PATH_INFO"])
        return app(environ, start_response)

    with serving(noting) as found:
        yield found


@pytest.fixture
def secret(node: Node) -> str:
    return node.leases.vouchers.new("class").secret


@contextmanager
def mining(url: str, voucher: str, board: Board) -> Iterator[None]:
    """One process of a miner, as two threads of this one."""
    doors = [LeaseDoor(url, voucher, "rig", None, board) for _ in range(2)]
    search = Search(doors[0], PlainKernel(), 100_000.0, board)
    threads = [
        threading.Thread(target=search.run),
        threading.Thread(target=ways.keep_looking, args=(url, headers_of(voucher), board)),
    ]
    for thread in threads:
        thread.start()
    threading.Thread(target=hear, args=(doors[1], board), daemon=True).start()
    try:
        yield
    finally:
        board.stop()
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
        search.close()


def test_a_miner_with_the_url_of_the_api_works_at_the_door(
    node: Node, port: int, url: str, asked: list[str], secret: str
) -> None:
    node.requests.ask()
    options = ("--url", url, "--name", "rig", "--kernel", "plain", "--workers", "2")
    environment = scrubbed(os.environ) | {"PYTHONPATH": str(ROOT), "QUARRY_VOUCHER": secret}
    command = module_command("worker", "miner", *options)
    with (
        RunningDoor(node, port),
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as miner,
    ):
        try:
            eventually(lambda: node.chain.tip().height == 2, 60, "a block")
            eventually(lambda: [each.blocks for each in node.leases.miners(9)] == [1])
            assert asked == ["/status"]
            assert miner.stdout is not None and f"{url} (at http://127.0.0.1:{port})" in miner.stdout.readline()
        finally:
            miner.send_signal(signal.SIGTERM)
            miner.wait(20)


def test_it_works_at_the_api_while_the_door_is_away(
    node: Node, port: int, url: str, asked: list[str], secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ways, "LOOK_SECONDS", 0.2)
    board = Board()
    with RunningDoor(node, port):
        assert not ways.look(url, headers_of(secret), board) and board.door_port == port
    node.requests.ask()
    with mining(url, secret, board):
        eventually(lambda: node.chain.tip().height == 2, 60, "a block")
        assert "/leases" in asked and board.door_port == 0
        with RunningDoor(node, port):
            eventually(lambda: board.door_port == port)
            node.requests.ask()  # the miner may still wait for it at the API
            eventually(lambda: node.chain.tip().height == 3, 60, "a block")
            eventually(lambda: board.count("blocks") == 2)
            before = len(asked)
            node.requests.ask()
            eventually(lambda: node.chain.tip().height == 4, 60, "a block")
            eventually(lambda: board.count("blocks") == 3)
            assert not [path for path in asked[before:] if path.startswith("/leases/")]
    assert not board.failure


def test_a_door_of_another_node_is_passed_over(
    make_node: MakeNode, node: Node, port: int, url: str, asked: list[str], secret: str
) -> None:
    """At first, and also if it takes the port later."""
    board = Board()
    with RunningDoor(make_node(spec={"difficulty": 20_000}), port):
        assert ways.look(url, headers_of(secret), board) and board.door_port == 0
        board.door_port = port
        node.requests.ask()
        lease = LeaseDoor(url, secret, "rig", None, board).take(1000, 0.0)
        assert not isinstance(lease, float) and board.door_port == 0 and asked[-1] == "/leases"


@pytest.mark.parametrize(
    ("status", "value", "again"),
    [
        (200, {"rpc_url": None}, False),
        (200, {}, False),
        (200, [], False),
        (200, b"<html>", False),
        (200, {"rpc_url": "http://127.0.0.1:99999"}, False),
        (200, {"rpc_url": 5}, False),
        (404, {"code": "not_found"}, False),
        (302, {}, False),
        (503, {"code": "store_unavailable"}, True),
    ],
)
def test_where_no_door_is_named_the_url_stays(status: int, value: Any, again: bool) -> None:
    node, board = FakeNode(), Board()
    node.answers["/status"] = status, value
    assert (ways.look(node.url, headers_of("-"), board), board.door_port) == (again, 0)
    assert [path for _, path, *_ in node.asked] == ["/status"]
    assert all("Authorization" not in headers for *_, headers in node.asked)
    node.close()


def test_another_program_at_the_port_of_the_door_is_passed_over() -> None:
    node, other, board = FakeNode(), FakeNode(), Board()
    node.answers["/status"] = 200, {"rpc_url": other.url}
    for answer in ((404, {"code": "not_found"}), (200, {}), (200, b"OK"), (401, {"code": "unknown_voucher"})):
        other.answers[f"/leases/{'0' * 32}"] = answer
        assert ways.look(node.url, headers_of("-"), board) and board.door_port == 0
    for one in (node, other):
        one.close()
