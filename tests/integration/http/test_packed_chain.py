"""Every page that is read by height, hash, id or address answers the same before and after old blocks are packed."""

import json
from typing import Any

import pytest

from api.app import create_app
from services.node import Node
from services.store import packing
from tests.integration.conftest import MakeNode
from tests.support.keys import ALICE, BOB, TOKEN
from tests.support.nodes import grow, transfer


@pytest.fixture
def old(make_node: MakeNode, monkeypatch: pytest.MonkeyPatch) -> Node:
    monkeypatch.setattr(packing, "BLOCKS", 5)
    node = make_node(spec={"difficulty": 1}, PACK_DEPTH="3")
    for i in range(12):
        kinds: list[dict[str, Any]] = [{}, {"type": "approve", "recipient": ALICE.address}, {"data": "old"}]
        grow(node, transfer(ALICE, i, **kinds[i % 3])) if i % 4 else grow(
            node, transfer(ALICE, i), transfer(BOB, i // 4)
        )
    return node


def test_http_and_json_rpc_answer_the_same(old: Node) -> None:
    flask = create_app(old, TOKEN).test_client()
    chain = old.chain
    hashes = chain.hashes(1, chain.tip().height)
    ids = [item for name in hashes for item in chain.transaction_ids(name)]
    paths = [
        "/chain", "/blocks", "/headers?from=1&limit=100", "/ledger", f"/accounts/{ALICE.address}", "/supply?height=4",
        *(f"/blocks/{name}" for name in [*range(1, 14), *hashes, "ab" * 32]),
        *(f"/transactions/{name}" for name in [*ids, "cd" * 32]), *(f"/transactions/{name}/proof" for name in ids),
        f"/search?q={hashes[2]}", f"/search?q={ids[3]}", f"/search?q={ids[3][:12]}", "/search?q=4",
    ]  # fmt: skip
    calls = [
        *(("eth_getBlockByNumber", hex(i), True) for i in range(14)),
        *(("eth_getBlockByHash", f"0x{name}", True) for name in hashes),
        *(("eth_getTransactionReceipt", f"0x{name}") for name in ids),
        *(("eth_getTransactionByHash", f"0x{name}") for name in ids),
        *(("eth_getBalance", ALICE.address, hex(i)) for i in range(1, 13)),
        ("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"}),
    ]

    def read() -> dict[str, Any]:
        found: dict[str, Any] = {}
        for path in paths:
            response = flask.get(path, headers={"Accept": "application/json"})
            found[path] = (response.status_code, response.get_data())
        for call in calls:
            body = {"jsonrpc": "2.0", "id": 1, "method": call[0], "params": list(call[1:])}
            found[json.dumps(call)] = flask.post("/rpc", json=body).get_data()
        return found

    before = read()
    assert {status for status, _ in (item for item in before.values() if isinstance(item, tuple))} >= {200, 404}
    assert old.packer.run() == 10
    after = read()
    assert old.chain.packs.totals().blocks == 10
    different = [name for name, answer in before.items() if answer != after[name]]
    assert different == []
