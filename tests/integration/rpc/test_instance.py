"""What the node says of itself to anvil's and hardhat's tools."""

import pytest

from services.node import Node
from tests.integration.rpc.client import GWEI, OWNERS, Rpc, refused
from tests.integration.rpc.miner import another
from tests.support.nodes import grow
from tests.support.specs import CHAIN_ID

NONE_OF_THESE = ["anvil_nodeInfo", "anvil_metadata", "hardhat_metadata", "anvil_getGenesisTime"]


def test_node_info_has_the_fields_and_types_of_anvil(rpc: Rpc, node: Node) -> None:
    rpc.send(OWNERS[0].raw(0, OWNERS[1].address, 1))
    block = grow(node)
    assert rpc("anvil_nodeInfo") == {
        "currentBlockNumber": "0x2",
        "currentBlockTimestamp": int(block.header.timestamp),
        "currentBlockHash": f"0x{block.hash}",
        "hardFork": "london",
        "transactionOrder": "fees",
        "environment": {
            "baseFee": "0x0",
            "chainId": CHAIN_ID,
            "gasLimit": rpc("eth_getBlockByNumber", "latest")["gasLimit"],
            "gasPrice": hex(GWEI),
        },
        "forkConfig": {"forkUrl": None, "forkBlockNumber": None, "forkRetryBackoff": None},
    }


@pytest.mark.parametrize("method", ["anvil_metadata", "hardhat_metadata"])
def test_metadata_names_the_run(rpc: Rpc, node: Node, method: str) -> None:
    node.begin()
    found = rpc(method)
    tip = node.chain.tip()
    assert {**found, "instanceId": ""} == {
        "clientVersion": rpc("web3_clientVersion"), "clientSemver": found["clientSemver"], "chainId": CHAIN_ID,
        "instanceId": "", "latestBlockNumber": tip.height, "latestBlockHash": f"0x{tip.hash}",
    }  # fmt: skip
    assert len(found["instanceId"]) == 66 and int(found["instanceId"], 16)
    assert rpc(method)["instanceId"] == found["instanceId"]
    assert another(node).development.run() == node.development.run(), "all processes of a run agree"
    another(node).begin()
    again = rpc(method)["instanceId"]
    assert again != found["instanceId"]
    rpc("anvil_reset")
    assert rpc(method)["instanceId"] not in (again, found["instanceId"])


def test_the_time_of_the_chain_spec(rpc: Rpc, node: Node) -> None:
    assert rpc("anvil_getGenesisTime") == node.settings.spec.genesis_timestamp


@pytest.mark.parametrize("method", NONE_OF_THESE)
def test_they_take_no_parameters(rpc: Rpc, method: str) -> None:
    refused(lambda: rpc(method, 1), -32602, f"{method} takes 0 parameters")
