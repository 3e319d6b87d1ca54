"""What a test asks a node."""

import pytest

from quarrynode import QuarryError, RpcError
from tests.unit.quarrynode.conftest import Fake


def test_a_call_has_its_parameters_and_its_result(fake: Fake) -> None:
    with fake.node() as node:
        assert node.rpc("eth_blockNumber") == "0x1"
        assert node.rpc("echo", "a", {"b": [1, None]}, True) == ["a", {"b": [1, None]}, True]


def test_an_error_object_is_raised_as_it_is(fake: Fake) -> None:
    with fake.node() as node, pytest.raises(RpcError) as found:
        node.rpc("refuse")
    error = found.value
    assert (error.code, error.message, error.data) == (3, "execution reverted", "0x08c379a0")
    assert str(error) == "execution reverted (code 3)"


@pytest.mark.parametrize("mode", ["", "slow mining"])
def test_blocks_are_mined_one_after_the_other(fake: Fake, mode: str) -> None:
    with fake.node(mode) as node:
        assert node.mine() == ["ab" * 32]
        assert node.mine(3) == ["ab" * 32] * 3
        assert node.status()["height"] == 5


def test_a_block_that_does_not_come_is_not_waited_for_for_ever(fake: Fake) -> None:
    with fake.node("slow mining") as node, pytest.raises(QuarryError, match="No block within 0 s"):
        node.mine(timeout=0)


@pytest.mark.parametrize("number", [0, -1])
def test_fewer_blocks_than_one_are_a_mistake(fake: Fake, number: int) -> None:
    with fake.node() as node:
        with pytest.raises(ValueError, match="1 or more"):
            node.mine(number)
        assert node.status()["height"] == 1


def test_going_back(fake: Fake) -> None:
    with fake.node() as node:
        snapshot = node.snapshot()
        node.mine(2)
        node.revert(snapshot)
        assert node.status()["height"] == 1
        with pytest.raises(QuarryError, match=f"has no snapshot {snapshot}"):
            node.revert(snapshot)


def test_a_node_that_does_not_answer_is_named(fake: Fake) -> None:
    with fake.node() as node:
        node.url = node.rpc_url = "http://127.0.0.1:1"
        for ask in (node.status, node.mine, node.snapshot):
            with pytest.raises(QuarryError, match=r"^The node at http://127\.0\.0\.1:1 does not answer: .*refused"):
                ask()
