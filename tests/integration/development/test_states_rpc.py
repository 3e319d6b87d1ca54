"""`anvil_dumpState` and `anvil_loadState` over JSON-RPC, and the body that the latter alone may have."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from api.rpc.development import states
from services.development.state_file import decode, encode
from services.node import Node
from tests.integration.rpc.client import OWNERS, Rpc, RpcFailure, rpc_node
from tests.support.http import Client, FlaskDoor
from tests.support.keys import TOKEN
from tests.support.nodes import MakeNode, grow
from tests.support.waiting import eventually

FIRST, SECOND = OWNERS[:2]


@pytest.fixture
def pair(make_node: MakeNode, tmp_path: Path) -> tuple[tuple[Node, Rpc], tuple[Node, Rpc]]:
    """Two nodes of one chain, whose bodies may have 10,000 bytes."""
    return rpc_node(make_node, tmp_path, MAX_BODY="10000"), rpc_node(make_node, tmp_path, MAX_BODY="10000")


Pair = tuple[tuple[Node, Rpc], tuple[Node, Rpc]]


def work(node: Node, rpc: Rpc) -> None:
    """A block with a transaction, and one that waits."""
    rpc.send(FIRST.raw(0, SECOND.address, 5))
    grow(node)
    rpc.send(FIRST.raw(1, SECOND.address, 7))


def padded(method: str, *params: Any, size: int = 20_000) -> bytes:
    """A request of `size` bytes."""
    text = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}).encode()
    return text[:-1] + b" " * (size - len(text)) + b"}"


def test_what_one_node_dumps_another_loads(pair: Pair) -> None:
    (node, rpc), (_, other) = pair
    work(node, rpc)
    state = rpc("anvil_dumpState")
    assert state == rpc("anvil_dumpState", True) == rpc("anvil_dumpState", None), "equal states, equal strings"
    assert rpc("hardhat_dumpState") == state
    assert other("hardhat_loadState", state) is True and other("anvil_loadState", state) is True
    for method, params in (
        ("eth_getBlockByNumber", ["latest", True]),
        ("eth_getBalance", [SECOND.address, "latest"]),
        ("eth_getTransactionCount", [FIRST.address, "pending"]),
        ("txpool_content", []),
        ("eth_getBlockReceipts", ["latest"]),
    ):
        assert other(method, *params) == rpc(method, *params), method
    assert other("anvil_dumpState") == state


def test_a_file_may_be_sent_as_it_is(pair: Pair) -> None:
    (node, rpc), (_, other) = pair
    work(node, rpc)
    content = gzip.decompress(bytes.fromhex(rpc("anvil_dumpState")[2:]))
    assert encode(decode(content)) == content
    assert other("anvil_loadState", content.hex().upper()) is True
    assert other("eth_blockNumber") == "0x2"


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("anvil_dumpState", ["true"], -32602),
        ("anvil_dumpState", [1], -32602),
        ("anvil_dumpState", [True, True], -32602),
        ("anvil_loadState", [], -32602),
        ("anvil_loadState", [None], -32602),
        ("anvil_loadState", [1], -32602),
        ("anvil_loadState", [{}], -32602),
        ("anvil_loadState", ["0xabc"], -32602),
        ("anvil_loadState", ["0xzz"], -32602),
        ("anvil_loadState", ["0x", "0x"], -32602),
        ("anvil_loadState", [""], -32000),
        ("anvil_loadState", ["0x"], -32000),
        ("anvil_loadState", ["0x1f8b"], -32000),
        ("anvil_loadState", ["0x7b7d0a"], -32000),
    ],
)
def test_bad_input_changes_nothing(pair: Pair, method: str, params: list[Any], code: int) -> None:
    (node, rpc), _ = pair
    work(node, rpc)
    before = rpc("anvil_dumpState")
    with pytest.raises(RpcFailure) as found:
        rpc(method, *params)
    assert found.value.code == code
    assert rpc("anvil_dumpState") == before


def test_a_lighter_chain_is_refused_by_a_node_with_peers(pair: Pair) -> None:
    (node, rpc), (rival, other) = pair
    work(node, rpc)
    state = rpc("anvil_dumpState")
    for _ in range(3):
        grow(rival)
    rival.peers.add("http://127.0.0.1:1")
    with pytest.raises(RpcFailure, match="this node has peers, which would bring its blocks back") as found:
        other("anvil_loadState", state)
    assert found.value.code == -32000
    assert other("eth_blockNumber") == "0x4"
    rival.peers.remove("http://127.0.0.1:1")
    assert other("anvil_loadState", state) is True
    assert other("eth_blockNumber") == "0x2"


@pytest.mark.parametrize("method", ["anvil_dumpState", "anvil_loadState"])
def test_they_exist_for_developers_only(make_node: MakeNode, pair: Pair, method: str) -> None:
    (_, rpc), _ = pair
    body = padded(method, *(["0x"] if method == "anvil_loadState" else []), size=500)
    answer = rpc.raw(body, Origin="https://example.org").ok()
    assert answer["error"]["code"] == -32601
    assert rpc.raw(body, Origin="http://localhost:3000").ok().get("error", {}).get("code") != -32601
    public = Rpc(Client(FlaskDoor(create_app(make_node(dict(development=False, name="grown"), MIN_FEE="0.1"), TOKEN))))
    assert public.raw(body).ok()["error"]["code"] == -32601


# --- Large bodies -------------------------------------------------------------------------------------------------


def test_a_state_may_be_larger_than_other_bodies(pair: Pair) -> None:
    (node, rpc), (_, other) = pair
    work(node, rpc)
    body = padded("anvil_loadState", rpc("anvil_dumpState"), size=200_000)
    assert other.raw(body).ok() == {"jsonrpc": "2.0", "id": 1, "result": True}
    assert other("eth_blockNumber") == "0x2"


def test_nothing_else_may(pair: Pair) -> None:
    (_, rpc), _ = pair
    for body, headers in (
        (padded("eth_blockNumber"), {}),
        (padded("anvil_dumpState"), {}),
        (b"[" + padded("anvil_loadState", "0x") + b"]", {}),
        (padded("anvil_loadState", "0x"), {"Origin": "https://example.org"}),
        (b'"anvil_loadState' + b" " * 20_000 + b'"', {}),
        (b"{" * 20_000, {}),
        (padded("anvil_loadState", "0x")[:-1], {}),
        (padded("anvil_loadState", "0x"), {"Content_Type": "text/plain"}),
    ):
        rpc.raw(body, **headers).refused(413, "too_large")
    assert rpc.client.door.call(
        "POST", "/transactions/new", padded("anvil_loadState"), Content_Type="application/json"
    ).refused(413, "too_large")


def test_other_chains_have_the_usual_bound(make_node: MakeNode) -> None:
    node = make_node(dict(development=False, name="grown"), MIN_FEE="0.1", MAX_BODY="10000")
    rpc = Rpc(Client(FlaskDoor(create_app(node, TOKEN))))
    rpc.raw(padded("anvil_loadState", "0x")).refused(413, "too_large")


def test_one_state_at_a_time(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    (_, rpc), _ = pair
    monkeypatch.setattr(states, "_PATIENCE", 0.01)
    assert states._one.acquire(blocking=False)
    try:
        for method, params in (("anvil_dumpState", []), ("anvil_loadState", ["0x"])):
            with pytest.raises(RpcFailure, match="Another state is being saved or loaded"):
                rpc(method, *params)
    finally:
        states._one.release()
    eventually(lambda: rpc("anvil_dumpState"))
