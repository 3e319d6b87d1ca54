"""What the node is, as anvil and hardhat tell it: its tip, its fees, and which run of it this is."""

from typing import Any

from api.rpc.chain import client_version, suggested_price
from api.rpc.method_table import control_method
from api.rpc.quantity import quantity
from api.rpc.representations import gas_limit
from services.node import Node
from services.system.about import VERSION

# There is no virtual machine here. Tools that read this field expect a name, and this is the latest whose transactions
# and fields the node knows.
_HARD_FORK = "london"


@control_method("anvil_nodeInfo")
def node_info(node: Node) -> dict[str, Any]:
    """The types are anvil's: quantities in hex, and a timestamp and chain id as JSON numbers."""
    tip = node.chain.tip()
    return {
        "currentBlockNumber": quantity(tip.height),
        "currentBlockTimestamp": int(tip.timestamp),
        "currentBlockHash": f"0x{tip.hash}",
        "hardFork": _HARD_FORK,
        "transactionOrder": "fees",
        "environment": {
            "baseFee": "0x0",
            "chainId": node.settings.spec.chain_id,
            "gasLimit": quantity(gas_limit(node.settings.spec)),
            "gasPrice": quantity(suggested_price(node)),
        },
        "forkConfig": {"forkUrl": None, "forkBlockNumber": None, "forkRetryBackoff": None},
    }


@control_method("anvil_metadata")
@control_method("hardhat_metadata")
def metadata(node: Node) -> dict[str, Any]:
    """`instanceId` is another one after each start of the node."""
    tip = node.chain.tip()
    return {
        "clientVersion": client_version(node),
        "clientSemver": VERSION,
        "chainId": node.settings.spec.chain_id,
        "instanceId": f"0x{node.instance()}",
        "latestBlockNumber": tip.height,
        "latestBlockHash": f"0x{tip.hash}",
    }


@control_method("anvil_getGenesisTime")
def genesis_time(node: Node) -> int:
    """Unix seconds, from the chain spec."""
    return node.settings.spec.genesis_timestamp
