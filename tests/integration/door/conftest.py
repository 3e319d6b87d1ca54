"""A node in this process with money, and its door."""

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
def node(node_and_rpc: tuple[Node, Rpc]) -> Node:
    return node_and_rpc[0]


@pytest.fixture
def rpc(node_and_rpc: tuple[Node, Rpc]) -> Rpc:
    """The same node's `/rpc`, to compare with."""
    return node_and_rpc[1]


@pytest.fixture
def door(node: Node) -> Iterator[RunningDoor]:
    with RunningDoor(node) as running:
        yield running
