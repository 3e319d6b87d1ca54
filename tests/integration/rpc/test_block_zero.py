"""Block 0, the chain spec, through every method that may ask for it."""

import json
from pathlib import Path
from typing import Any

import pytest

from services.node import Node
from shared.addresses import checksummed
from shared.hashing import sha256
from tests.integration.rpc.client import OWNERS, TOKEN, ZERO, Rpc, call_of, refused, rpc_node
from tests.support.keys import ALICE
from tests.support.nodes import MakeNode, grow
from tests.support.specs import COIN

ANNE, BEN = OWNERS[:2]
ZEROS = "0x" + "00" * 32


@pytest.fixture
def spec_hash(node: Node) -> str:
    grow(node)
    return f"0x{node.settings.spec.hash}"


@pytest.fixture
def allocating(node: Node) -> str:
    """The hash of its transaction."""
    return "0x" + sha256(b"quarry-allocations:" + bytes.fromhex(node.settings.spec.hash)).hex()


def test_it_is_genesis_parent_and_has_none(rpc: Rpc, spec_hash: str, allocating: str) -> None:
    block = rpc("eth_getBlockByNumber", "earliest", True)
    served = rpc.client.get("/spec").ok()
    canonical = json.dumps(served, sort_keys=True).encode()
    assert block["hash"] == spec_hash == "0x" + sha256(canonical).hex()
    assert rpc("eth_getBlockByNumber", "0x1", False)["parentHash"] == spec_hash
    assert (block["number"], block["parentHash"], block["miner"]) == ("0x0", ZEROS, ZERO)
    assert int(block["timestamp"], 16) == served["genesis_timestamp"]
    assert (block["difficulty"], block["totalDifficulty"]) == ("0x0", "0x0")
    assert set(block) == set(rpc("eth_getBlockByNumber", "latest", True))
    assert [item["hash"] for item in block["transactions"]] == [allocating]
    for tag in ("0x0", 0, {"blockNumber": "0x0"}, {"blockHash": spec_hash}):
        assert rpc("eth_getBlockByNumber", tag, True) == block
    assert rpc("eth_getBlockByHash", spec_hash, True) == block
    assert rpc("eth_getBlockByHash", spec_hash, False) == {**block, "transactions": [allocating]}
    header = rpc("eth_getHeaderByNumber", "0x0")
    assert header == rpc("eth_getHeaderByHash", spec_hash) and header.items() < block.items()


def test_its_transaction_has_a_receipt_whose_logs_are_the_allocations(
    node: Node, rpc: Rpc, spec_hash: str, allocating: str
) -> None:
    item = rpc("eth_getTransactionByHash", allocating)
    assert item == rpc("eth_getBlockByNumber", "0x0", True)["transactions"][0]
    assert item == rpc("eth_getTransactionByBlockNumberAndIndex", "earliest", "0x0")
    assert item == rpc("eth_getTransactionByBlockHashAndIndex", spec_hash, "0x0")
    assert rpc("eth_getTransactionByBlockHashAndIndex", spec_hash, "0x1") is None
    assert (item["blockHash"], item["blockNumber"], item["transactionIndex"]) == (spec_hash, "0x0", "0x0")
    assert (item["from"], item["to"].lower(), item["value"], item["input"]) == (ZERO, TOKEN, "0x0", "0x")
    assert rpc.number("eth_getBlockTransactionCountByNumber", "0x0") == 1
    assert rpc.number("eth_getBlockTransactionCountByHash", spec_hash) == 1
    assert rpc("eth_getUncleCountByBlockNumber", "0x0") == rpc("eth_getUncleCountByBlockHash", spec_hash) == "0x0"

    receipt = rpc("eth_getTransactionReceipt", allocating)
    for tag in ("0x0", "earliest", spec_hash, {"blockHash": spec_hash}):
        assert rpc("eth_getBlockReceipts", tag) == [receipt]
    mined = rpc("eth_getBlockReceipts", "latest")[0]
    assert set(receipt) == set(mined) and set(receipt["logs"][0]) == set(mined["logs"][0])
    assert (receipt["status"], receipt["contractAddress"]) == ("0x1", None)
    assert [item[name] for name in ("from", "to", "type")] == [receipt[name] for name in ("from", "to", "type")]
    block = rpc("eth_getBlockByNumber", "0x0", False)
    assert receipt["logsBloom"] == block["logsBloom"] and int(block["logsBloom"], 16) > 0
    assert receipt["gasUsed"] == receipt["cumulativeGasUsed"] == block["gasUsed"] == item["gas"]

    allocations = dict(sorted(node.settings.spec.allocations.items()))
    logs = receipt["logs"]
    assert [checksummed(bytes.fromhex(log["topics"][2][26:])) for log in logs] == list(allocations)
    assert [int(log["data"], 16) for log in logs] == list(allocations.values())
    assert {log["topics"][1] for log in logs} == {ZEROS} and {log["transactionHash"] for log in logs} == {allocating}
    assert [int(log["logIndex"], 16) for log in logs] == list(range(6))
    for asked in ({"fromBlock": "earliest", "toBlock": "earliest"}, {"blockHash": spec_hash},
                  {"fromBlock": "0x0", "toBlock": "0x0", "address": TOKEN}):  # fmt: skip
        assert rpc("eth_getLogs", asked) == logs
    to_anne = [None, None, "0x" + "00" * 12 + ANNE.address[2:].lower()]
    (log,) = rpc("eth_getLogs", {"fromBlock": "0x0", "topics": to_anne})  # through her history, which has no block 0
    assert log in logs
    assert rpc("eth_getLogs", {"fromBlock": "0x1", "topics": to_anne}) == []
    name = rpc("eth_newFilter", {"fromBlock": "earliest", "topics": to_anne})
    assert rpc("eth_getFilterLogs", name) == [log] and rpc("eth_getFilterChanges", name) == []


def test_the_state_there_is_the_allocations(node: Node, rpc: Rpc, spec_hash: str) -> None:
    rpc.send(ANNE.raw(0, BEN.address, COIN))
    for _ in range(130):  # more than the states that are kept
        grow(node)
    supply = sum(node.settings.spec.allocations.values())
    stranger = "0x000000000000000000000000000000000000dEaD"
    for tag in ("earliest", "0x0", 0, spec_hash, {"blockHash": spec_hash}):
        for address in (ANNE.address, BEN.address, ALICE.address):
            assert rpc.number("eth_getBalance", address, tag) == 100 * COIN
            found = rpc("eth_call", {"to": TOKEN, "data": call_of("balanceOf", address)}, tag)
            assert int(found, 16) == 100 * COIN
        assert rpc.number("eth_getBalance", stranger, tag) == rpc.number("eth_getTransactionCount", ANNE.address, tag)
        assert int(rpc("eth_call", {"to": TOKEN, "data": call_of("totalSupply")}, tag), 16) == supply
        allowance = call_of("allowance", ANNE.address, BEN.address)
        assert int(rpc("eth_call", {"to": TOKEN, "data": allowance}, tag), 16) == 0
        assert rpc("eth_getCode", TOKEN, tag) == "0xfe" and rpc("eth_getStorageAt", TOKEN, "0x0", tag) == ZEROS
    refused(lambda: rpc("eth_getBalance", ANNE.address, "0x1"), -32000, "missing trie node: ...")


def test_the_http_api_has_no_such_block(rpc: Rpc, spec_hash: str, allocating: str) -> None:
    rpc.client.get("/blocks/0").refused(404, "unknown_block")
    rpc.client.get(f"/blocks/{spec_hash[2:]}").refused(404, "unknown_block")
    rpc.client.get(f"/transactions/{allocating[2:]}").refused(404, "unknown_transaction")
    assert rpc.client.get("/blocks/1").ok()["previous_hash"] == spec_hash[2:]


def test_a_spec_without_allocations_has_a_block_0_too(make_node: MakeNode, tmp_path: Path) -> None:
    node, rpc = rpc_node(make_node, tmp_path, SPEC="network")
    block: Any = rpc("eth_getBlockByNumber", "0x0", True)
    (item,) = block["transactions"]
    (receipt,) = rpc("eth_getBlockReceipts", "0x0")
    assert receipt["transactionHash"] == item["hash"] and receipt["logs"] == []
    assert int(block["logsBloom"], 16) == int(receipt["logsBloom"], 16) == 0
    assert rpc("eth_getLogs", {"fromBlock": "0x0"}) == []
    assert int(rpc("eth_call", {"to": TOKEN, "data": call_of("totalSupply")}, "0x0"), 16) == 0
    assert block["hash"] == "0x" + node.settings.spec.hash
