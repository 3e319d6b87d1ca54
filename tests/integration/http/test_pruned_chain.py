"""What a node that has pruned old bodies answers: one code for what is gone, and everything else as before."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from api.app import create_app
from services.errors import Pruned
from services.node import Node
from services.store import packing
from tests.integration.conftest import MakeNode
from tests.support.keys import ALICE, BOB, TOKEN
from tests.support.nodes import grow, transfer

KEPT_FROM = 11  # of 16 blocks
GONE = range(2, KEPT_FROM)


@pytest.fixture(scope="module", autouse=True)
def _small_packs() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "BLOCKS", 5)
        yield


@pytest.fixture
def pruned(make_node: MakeNode) -> Node:
    node = make_node(spec={"difficulty": 1}, PACK_DEPTH="1")
    for i in range(15):
        kinds: list[dict[str, Any]] = [{}, {"type": "approve", "recipient": BOB.address}, {"data": "old"}]
        grow(node, transfer(ALICE, i, **kinds[i % 3]))
    node.chain.schema.adopt(0, prunes=True)
    assert node.packer.run() == 15
    assert replace(node.packer, keep=6).run() == 10 and node.chain.kept_from() == KEPT_FROM
    return node


class Reader:
    """Reads a node over HTTP and JSON-RPC."""

    def __init__(self, node: Node) -> None:
        self._flask = create_app(node, TOKEN).test_client()

    def json(self, path: str, status: int = 200) -> Any:
        response = self._flask.get(path, headers={"Accept": "application/json"})
        assert response.status_code == status, (path, response.get_data(as_text=True)[:300])
        return json.loads(response.get_data())

    def gone(self, path: str) -> str:
        """The sentence of the refusal of what was pruned."""
        response = self._flask.get(path, headers={"Accept": "application/json"})
        assert response.status_code == 410 and response.mimetype == "application/problem+json", path
        found = json.loads(response.get_data())
        assert (found["code"], found["status"], found["title"]) == ("pruned", 410, "Gone")
        assert f"from height {KEPT_FROM} on" in found["detail"] and "QUARRY_KEEP" in found["detail"]
        return str(found["detail"])

    def page(self, path: str, status: int = 200) -> str:
        response = self._flask.get(path, headers={"Accept": "text/html"}, follow_redirects=True)
        assert response.status_code == status, (path, response.status_code)
        return response.get_data(as_text=True)

    def rpc(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = json.loads(self._flask.post("/rpc", json=body).get_data())
        return answer.get("error") or answer["result"]


@pytest.fixture
def reader(pruned: Node) -> Reader:
    return Reader(pruned)


def test_bodies_that_are_gone_have_one_code(pruned: Node, reader: Reader) -> None:
    for height in GONE:
        name = pruned.chain.hash_at(height)
        assert name is not None
        ids = pruned.chain.transaction_ids(name)
        reader.gone(f"/blocks/{height}")
        reader.gone(f"/blocks/{name}")
        reader.gone(f"/chain?from={height}&limit=1")
        assert f"position 1 of block {height} ({name})" in reader.gone(f"/transactions/{ids[1]}")
        reader.gone(f"/transactions/{ids[1]}/proof")
    reader.gone("/chain")
    reader.gone("/chain?from=1&limit=2")


def test_headers_and_what_is_kept_are_read_as_before(pruned: Node, reader: Reader) -> None:
    assert reader.json("/status")["kept_from"] == KEPT_FROM
    genesis = pruned.chain.hash_at(1)
    headers = reader.json(f"/headers?locator={genesis}")["headers"]
    assert [item["index"] for item in headers] == list(range(2, 17))
    blocks = reader.json("/blocks?limit=100")["blocks"]
    assert [item["index"] for item in blocks] == list(range(16, 0, -1)) and blocks[10]["transaction_count"] == 2
    assert [item["index"] for item in reader.json("/chain?from=1&limit=1")["chain"]] == [1]
    assert [item["index"] for item in reader.json(f"/chain?from={KEPT_FROM}")["chain"]] == list(range(KEPT_FROM, 17))
    assert reader.json("/blocks/1")["transactions"] == [] and len(reader.json("/blocks/12")["transactions"]) == 2
    name = pruned.chain.hash_at(12)
    assert name is not None
    found = pruned.chain.transaction_ids(name)[1]
    assert reader.json(f"/transactions/{found}")["index"] == 12
    assert reader.json(f"/transactions/{found}/proof")["position"] == 1
    assert reader.json(f"/accounts/{ALICE.address}")["nonce"] == 15
    metrics = reader._flask.get("/metrics").get_data(as_text=True)
    assert f"quarry_kept_from_height {KEPT_FROM}.0" in metrics


def test_a_transaction_of_a_pruned_block_that_is_sent_again_is_acknowledged(pruned: Node, reader: Reader) -> None:
    """Its id is kept, so a client whose first answer was lost learns that it was mined."""
    answer = reader._flask.post("/transactions/new", json=transfer(ALICE, 0))
    found = json.loads(answer.get_data())
    assert answer.status_code == 201 and found["block"] == pruned.chain.hash_at(2)


def test_json_rpc_answers_as_geth_does(pruned: Node, reader: Reader) -> None:
    gone = {"code": 4444, "message": "pruned history unavailable"}
    name = pruned.chain.hash_at(5)
    assert name is not None
    identifier = pruned.chain.transaction_ids(name)[1]
    for call in (
        ("eth_getBlockByNumber", "0x5", True), ("eth_getBlockByHash", f"0x{name}", False),
        ("eth_getHeaderByNumber", "0x5"), ("eth_getBlockReceipts", "0x5"),
        ("eth_getTransactionByHash", f"0x{identifier}"), ("eth_getTransactionReceipt", f"0x{identifier}"),
        ("eth_getTransactionByBlockNumberAndIndex", "0x5", "0x0"),
        ("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"}),
        ("eth_feeHistory", "0x4", "0x5", []),
    ):  # fmt: skip
        assert reader.rpc(*call) == gone, call
    assert reader.rpc("eth_blockNumber") == "0x10"
    assert reader.rpc("eth_getBlockByNumber", "0x0", False)["number"] == "0x0"
    assert reader.rpc("eth_getBlockByNumber", "0x1", True)["transactions"] == []
    assert len(reader.rpc("eth_getBlockByNumber", hex(KEPT_FROM), True)["transactions"]) == 2
    assert reader.rpc("eth_getBlockTransactionCountByNumber", "0x5") == "0x2"
    assert reader.rpc("eth_getTransactionCount", ALICE.address, "latest") == "0xf"
    assert len(reader.rpc("eth_getLogs", {"fromBlock": hex(KEPT_FROM), "toBlock": "latest"})) > 6
    assert reader.rpc("eth_getBalance", ALICE.address, hex(KEPT_FROM)).startswith("0x")


def test_pages_say_what_is_gone(pruned: Node, reader: Reader) -> None:
    for name in ("5", pruned.chain.hash_at(5)):
        page = reader.page(f"/block/{name}")
        assert "Its body was removed." in page and f"height {KEPT_FROM}" in page and "QUARRY_KEEP" in page
        assert "2 transactions" in page and "Take it apart" not in page
    assert "Its body was removed." not in reader.page("/block/12") and "removed" not in reader.page("/block/1")
    identifier = pruned.chain.transaction_ids(pruned.chain.hash_at(5) or "")[1]
    assert "position 1 of block 5" in reader.page(f"/tx/{identifier}", status=410)
    history = reader.page(f"/address/{ALICE.address}")
    assert "9 older transactions of this page are not listed" in history and "height 11" in history
    assert reader.page(f"/search?q={identifier}", status=410) and reader.page("/search?q=5")
    for path in (
        "/",
        "/learn",
        "/learn/anatomy",
        "/learn/anatomy?block=5",
        "/learn/chain",
        "/network",
        "/miners",
        "/supply",
    ):
        assert reader.page(path, status=200), path
    assert "has removed the bodies" in reader.page("/learn/chain")


def test_what_is_asked_of_a_range_that_is_pruned_meanwhile_is_refused(
    make_node: MakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = make_node(spec={"difficulty": 1}, PACK_DEPTH="1")
    for i in range(11):
        grow(node, transfer(ALICE, i))
    node.chain.schema.adopt(0, prunes=True)
    node.packer.run()
    reader = Reader(node)
    stream: Callable[..., Any] = node.chain._stream

    def late(first: int, last: int) -> Any:
        replace(node.packer, keep=2).run()
        return stream(first, last)

    assert len(reader.json("/chain")["chain"]) == 12
    monkeypatch.setattr(node.chain, "_stream", late)
    with pytest.raises(Pruned):  # the connection is cut off, as by a reorganisation
        reader._flask.get("/chain")
    assert node.chain.kept_from() == 11
