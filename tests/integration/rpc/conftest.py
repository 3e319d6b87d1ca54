"""A node in this process whose development accounts have money, and JSON-RPC to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.node import Node
from tests.integration.rpc.client import Rpc, rpc_node
from tests.support.door import RunningDoor
from tests.support.nodes import MakeNode


@pytest.fixture
def node_and_rpc(make_node: MakeNode, tmp_path: Path) -> tuple[Node, Rpc]:
    return rpc_node(make_node, tmp_path)


@pytest.fixture
def door(node: Node) -> Iterator[RunningDoor]:
    """The door of `node`."""
    with RunningDoor(node) as running:
        yield running


@pytest.fixture
def voucher(node: Node) -> dict[str, str]:
    """The header of a miner."""
    return {"Authorization": f"Bearer {node.leases.vouchers.new('class').secret}"}


@pytest.fixture
def node(node_and_rpc: tuple[Node, Rpc]) -> Node:
    return node_and_rpc[0]


@pytest.fixture
def rpc(node_and_rpc: tuple[Node, Rpc]) -> Rpc:
    return node_and_rpc[1]
