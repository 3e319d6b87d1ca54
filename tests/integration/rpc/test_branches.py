"""Snapshots, going back and forks over JSON-RPC: anvil's and hardhat's names, results and errors."""

from typing import Any

import pytest

from api.app import create_app
from api.explorer.pages.network import forks
from services.node import Node
from tests.integration.rpc.client import COIN, OWNERS, Rpc, refused
from tests.support.http import Client, FlaskDoor
from tests.support.nodes import grow, mine

ALL = (
    "evm_snapshot", "anvil_snapshot", "evm_revert", "anvil_revert", "anvil_rollback", "anvil_reorg", "anvil_reset",
    "hardhat_reset", "quarry_fork",
)  # fmt: skip
ABOVE = {"fromBlock": "0x2"}
BAD_DEPTHS = ["0x0", 0, -1, "-0x1", "0x00", "0x 1", 1.5, True, "three", [], {}, "0x" + "f" * 65, 2**256]


def places(logs: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Where events are, whatever their order."""
    return sorted((item["blockHash"], item["logIndex"], item["transactionHash"]) for item in logs)


def test_a_snapshot_and_a_revert(rpc: Rpc, node: Node) -> None:
    payer, payee = OWNERS[0], OWNERS[7].address
    assert rpc("evm_snapshot") == "0x0" and rpc("anvil_snapshot") == "0x1"
    logs, blocks = rpc("eth_newFilter", {"fromBlock": "0x1"}), rpc("eth_newBlockFilter")
    name = rpc.send(payer.raw(0, payee, COIN))
    grow(node)
    assert rpc("eth_getTransactionReceipt", name)["status"] == "0x1"
    added = rpc("eth_getFilterChanges", logs)
    assert (
        {item["removed"] for item in added} == {False}
        and len(added) > 1
        and len(rpc("eth_getFilterChanges", blocks)) == 1
    )
    waiting = rpc.send(payer.raw(1, payee, COIN))

    assert rpc("evm_revert", "0x0") is True
    assert rpc("eth_blockNumber") == "0x1" and rpc.number("eth_getBalance", payee, "latest") == 0
    assert rpc("eth_getTransactionReceipt", name) is None and rpc("eth_getTransactionByHash", name) is None
    assert rpc("eth_getTransactionByHash", waiting) is None
    assert rpc.number("eth_getTransactionCount", payer.address, "pending") == 0
    removed = rpc("eth_getFilterChanges", logs)
    assert removed == [{**item, "removed": True} for item in added]
    assert rpc("eth_getFilterChanges", blocks) == [] and rpc("eth_getLogs", ABOVE) == []
    for hash_ in (name, waiting):
        answer = rpc.client.get(f"/transactions/{hash_[2:]}").ok()
        assert (answer["status"], answer["reason"]) == ("reverted", "the node went back to snapshot 0x0")

    assert rpc("evm_revert", "0x0") is False and rpc("anvil_revert", "0x1") is False
    assert rpc("evm_revert", 77) is False and rpc("evm_snapshot") == "0x2"
    # The same transaction again.
    assert rpc.send(payer.raw(0, payee, COIN)) == name
    grow(node)
    assert rpc.client.get(f"/transactions/{name[2:]}").ok()["status"] == "confirmed"
    again = rpc("eth_getFilterChanges", logs)
    assert [place[1:] for place in places(again)] == [place[1:] for place in places(added)]


def test_a_rollback(rpc: Rpc, node: Node) -> None:
    hashes = [grow(node).hash for _ in range(5)]
    assert rpc("anvil_rollback") is None and rpc("eth_blockNumber") == "0x5"
    assert rpc("anvil_rollback", None) is None and rpc("anvil_rollback", 1) is None
    assert rpc("anvil_rollback", "0x1") is None and rpc("eth_blockNumber") == "0x2"
    assert rpc("eth_getBlockByNumber", "latest", False)["hash"] == f"0x{hashes[0]}"
    assert rpc("eth_getBlockByNumber", "0x3", False) is None
    drawn = list(forks(node, node.mining.events.latest(100)))
    assert [(fork.detached_count, fork.attached_count, fork.ancestor.header.index) for fork in drawn] == [
        (1, 0, 2), (1, 0, 3), (1, 0, 4), (1, 0, 5),
    ]  # fmt: skip
    assert [fork.detached[0].hash for fork in drawn] == hashes[:0:-1][::-1]
    page = rpc.client.door.call("GET", "/network", Accept="text/html")
    assert page.status == 200 and b"1 block detached, 0 attached." in page.body


@pytest.mark.parametrize("name", ["anvil_reset", "hardhat_reset"])
def test_a_reset(rpc: Rpc, node: Node, name: str) -> None:
    rpc("evm_snapshot")
    for options in ([], [None], [{}], [{"forking": None}]):
        sent = rpc.send(OWNERS[0].raw(0, OWNERS[1].address, COIN))
        grow(node)
        assert rpc(name, *options) is (True if name == "hardhat_reset" else None)
        assert rpc("eth_blockNumber") == "0x1" and rpc("eth_getTransactionByHash", sent) is None
    assert rpc("evm_revert", "0x0") is False
    for asked in ({"forking": {"jsonRpcUrl": "http://127.0.0.1:1"}}, {"jsonRpcUrl": "x"}):
        refused(lambda asked=asked: rpc(name, asked), -32000, "this chain is no fork of another...")
    refused(lambda: rpc(name, "0x1"), -32602, "the options of a reset are an object")


@pytest.fixture
def worked(node: Node, monkeypatch: pytest.MonkeyPatch) -> Node:
    """The node with a worker that takes part in a round aside as soon as it is called."""

    def enqueue(name: str, round_id: str, height: int | None, copies: int) -> None:
        if node.mining.situation().aside == round_id:
            mine_aside(node, round_id)

    monkeypatch.setattr(node.queue, "enqueue_search", enqueue)
    return node


def mine_aside(node: Node, round_id: str) -> None:
    found = node.mining.template(round_id)
    assert found is not None
    proof = 0
    while not found[1].accepts(proof):
        proof += 1
    block = node.rules.read_block(found[1].with_proof(proof))
    assert node.mining.end_aside(round_id, node.clock.now(), block.hash, "worker", proof)


def test_a_reorg(rpc: Rpc, worked: Node) -> None:
    payer, payee = OWNERS[0], OWNERS[7].address
    first = rpc.send(payer.raw(0, payee, COIN))
    old = [grow(worked).hash for _ in range(3)]
    logs, before = rpc("eth_newFilter", {}), rpc("eth_getLogs", ABOVE)
    assert rpc("anvil_reorg", 2, []) is None and rpc("anvil_reorg", "0x1") is None
    assert rpc("anvil_reorg", {"depth": 1}) is None
    rival = payer.raw(0, payee, 3 * COIN)
    later = {"from": OWNERS[1].address, "to": payee, "value": hex(COIN), "nonce": "0x0"}
    assert rpc("anvil_reorg", 3, [["0x" + rival.hex(), 1], [later, "0x2"]]) is None
    assert rpc("eth_blockNumber") == "0x4"
    blocks = [rpc("eth_getBlockByNumber", hex(height), True) for height in (2, 3, 4)]
    assert not {block["hash"][2:] for block in blocks} & set(old)
    assert [len(block["transactions"]) for block in blocks] == [1, 2, 2]  # with the reward
    assert rpc.number("eth_getBalance", payee, "latest") == 4 * COIN
    assert rpc("eth_getTransactionByHash", first) is None
    assert rpc.client.get(f"/transactions/{first[2:]}").ok()["status"] == "dropped"
    changes = rpc("eth_getFilterChanges", logs)
    removed = [item for item in changes if item["removed"]]
    assert changes[: len(removed)] == removed  # first what has left, then what has come
    assert places(removed) == places(before) and places(changes[len(removed) :]) == places(rpc("eth_getLogs", ABOVE))


def test_a_fork_by_name(rpc: Rpc, worked: Node) -> None:
    names = [rpc.send(OWNERS[i].raw(0, OWNERS[7].address, COIN)) for i in range(3)]
    old = grow(worked).hash
    found = rpc("quarry_fork", {"depth": 1, "drop": [names[0]], "include": [names[2]]})
    tip = rpc("eth_getBlockByNumber", "latest", False)
    assert found == {"forkBlock": "0x1", "detached": [f"0x{old}"], "attached": [tip["hash"]]}
    assert tip["transactions"][1:] == [names[2], names[1]]
    refused(lambda: rpc("quarry_fork", {"depth": 1, "drop": ["0x" + "ab" * 32]}), -32000, "Transaction abab...")


@pytest.mark.parametrize("depth", BAD_DEPTHS)
@pytest.mark.parametrize("method", ["anvil_rollback", "anvil_reorg", "quarry_fork"])
def test_bad_depths_change_nothing(rpc: Rpc, node: Node, method: str, depth: Any) -> None:
    grow(node)
    tip = node.chain.tip()
    options = {"depth": depth} if method == "quarry_fork" else depth
    refused(lambda: rpc(method, options), -32602, "...")
    assert node.chain.tip() == tip and node.mining.situation().aside == ""


@pytest.mark.parametrize("depth", [2, 3, "0x2", 2**64, 2**256 - 1])
def test_a_depth_below_the_first_block(rpc: Rpc, node: Node, depth: Any) -> None:
    grow(node)
    number = int(depth, 16) if isinstance(depth, str) else depth
    tail = (
        f"depth must not exceed current chain height: current height 2, depth {number}; the first block, whose height"
    )
    refused(lambda: rpc("anvil_rollback", depth), -32602, f"Rollback {tail}...")
    refused(lambda: rpc("anvil_reorg", depth, []), -32602, f"Reorg {tail}...")
    refused(lambda: rpc("quarry_fork", {"depth": depth}), -32602, f"Fork {tail}...")


def test_bad_parameters_change_nothing(rpc: Rpc, node: Node) -> None:
    grow(node)
    tip = node.chain.tip()
    raw = "0x" + OWNERS[0].raw(0, OWNERS[1].address, COIN).hex()
    for params in (
        ["evm_snapshot", 1], ["evm_revert"], ["evm_revert", None], ["evm_revert", "zero"], ["evm_revert", -1],
        ["evm_revert", True], ["evm_revert", 0, 0], ["anvil_rollback", 1, 1], ["anvil_reset", {}, {}],
        ["anvil_reset", 7], ["anvil_reorg"], ["anvil_reorg", None], ["anvil_reorg", 1, {}], ["anvil_reorg", 1, [raw]],
        ["anvil_reorg", 1, [[raw]]], ["anvil_reorg", 1, [[raw, 1]]], ["anvil_reorg", 1, [[raw, -1]]],
        ["anvil_reorg", 1, [["0x1", 0]]], ["anvil_reorg", 1, [[7, 0]]], ["anvil_reorg", 1, [[raw, 0]] * 1001],
        ["anvil_reorg", {"depth": 1, "deep": 1}], ["anvil_reorg", {"depth": 1}, []], ["quarry_fork"],
        ["quarry_fork", 1], ["quarry_fork", {}], ["quarry_fork", {"depth": 1, "dorp": []}],
        ["quarry_fork", {"depth": 1, "drop": "0x" + "ab" * 32}], ["quarry_fork", {"depth": 1, "drop": ["ab" * 32]}],
        ["quarry_fork", {"depth": 1, "drop": ["0x" + "ab" * 32] * 1001}],
        ["quarry_fork", {"depth": 1, "drop": ["0x" + "ab" * 32], "include": ["0x" + "ab" * 32]}],
    ):  # fmt: skip
        refused(lambda params=params: rpc(*params), -32602, "...")
    unsigned = {"from": OWNERS[0].address, "to": OWNERS[1].address}
    refused(lambda: rpc("anvil_reorg", 1, [[unsigned, 0]]), -32000, "give the nonce of each transaction of a reorg")
    refused(lambda: rpc("anvil_reorg", 1, [["0x1234", 0]]), -32000, "...")  # as eth_sendRawTransaction refuses it
    assert node.chain.tip() == tip and node.mining.situation().aside == ""


def test_a_node_with_peers_says_why_it_stays(rpc: Rpc, node: Node) -> None:
    grow(node)
    rpc("evm_snapshot")
    node.peers.add("http://127.0.0.1:7001")
    for call in (["evm_revert", "0x0"], ["anvil_rollback"], ["anvil_reset"], ["hardhat_reset"]):
        refused(lambda call=call: rpc(*call), -32000, "This node has 1 peer(s), which would bring the blocks back...")
    assert rpc("evm_revert", "0x9") is False  # there is nothing to refuse


def test_others_have_no_such_methods(node: Node) -> None:
    rpc = Rpc(Client(FlaskDoor(create_app(node))))
    for name in ALL:
        request = b'{"jsonrpc":"2.0","id":1,"method":"%s","params":[]}' % name.encode()
        answer = rpc.raw(request, Origin="https://dapp.example").ok()
        assert answer["error"]["code"] == -32601, name


def test_a_round_goes_on_after_a_revert(rpc: Rpc, node: Node) -> None:
    rpc("evm_snapshot")
    rpc.send(OWNERS[0].raw(0, OWNERS[1].address, COIN))
    node.requests.ask()
    before = node.mining.situation().open_round
    assert rpc("evm_revert", "0x0") is True
    assert node.mining.situation().open_round not in ("", before)  # which would hold what has left
    sent = rpc.send(OWNERS[0].raw(0, OWNERS[2].address, COIN))
    node.rounds._renew(node.mining.situation().open_round)  # as after half a minute
    assert [item.id for item in mine(node).transactions[1:]] == [sent[2:]]
