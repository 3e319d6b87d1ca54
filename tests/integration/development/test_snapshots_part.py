"""Snapshots in a state file: a node that loads it can go back as the node that wrote it can."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis

from services.development.state_file import BadState, decode, encode
from tests.support.keys import ALICE, BOB
from tests.support.nodes import TestNode
from tests.support.stored import assert_store_equals_replay


@pytest.fixture
def other(redis: Redis, here: TestNode) -> TestNode:
    """A fresh node of the same chain."""
    return TestNode(redis, dataclasses.replace(here.settings, node="other"), clock=here.clock)


def with_snapshots(node: TestNode) -> bytes:
    """A state with two snapshots; the blocks of the second are not on the chain any more."""
    node.mine(node.sign(ALICE, 0))
    node.admit(ALICE, 1, fee="0.1")
    node.admit(BOB, 3)
    assert node.node.going_back.snapshot() == 0
    node.clock.time += 1.5
    node.mine(node.sign(ALICE, 1, amount="5"))
    assert node.node.going_back.snapshot() == 1
    node.node.going_back.rollback(2)
    node.mine(recipient=BOB.address)
    return node.node.states.dump()


def ids(node: TestNode) -> set[str]:
    return {entry.id for page in node.node.pool.by_fee() for entry in page}


def test_the_other_node_goes_back_as_the_first_would(here: TestNode, other: TestNode) -> None:
    content = with_snapshots(here)
    other.node.states.load(content)
    assert other.node.states.dump() == content
    for snapshot, height in ((1, 3), (0, 2)):
        for node in (here, other):
            assert node.node.going_back.revert(snapshot) is True
            assert not node.node.going_back.revert(snapshot)
        assert other.node.chain.tip() == here.node.chain.tip()
        assert other.node.chain.tip().height == height
        assert ids(other) == ids(here)
        assert_store_equals_replay(other.node, other.redis)
    assert here.node.going_back.snapshot() == other.node.going_back.snapshot() == 2


def test_snapshots_of_before_go(here: TestNode, other: TestNode) -> None:
    other.mine(recipient=BOB.address)
    mine = other.node.going_back.snapshot()
    here.mine()
    other.node.states.load(here.node.states.dump())
    assert other.node.going_back.revert(mine) is False


def forged(change: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    """A change of the first snapshot."""

    def changed(value: dict[str, Any]) -> Any:
        change(value["kept"][0])
        return value

    return changed


def other_amount(item: dict[str, Any]) -> None:
    member, entry = item["pool"][0]
    item["pool"][0] = [member, entry.replace('"amount": "1"', '"amount": "2"')]


@pytest.mark.parametrize(
    "change",
    [
        lambda value: None,
        lambda value: [],
        lambda value: {**value, "next": 1},
        lambda value: {**value, "next": "2"},
        lambda value: {**value, "more": 1},
        lambda value: {**value, "kept": value["kept"][::-1]},
        forged(lambda item: item.update(tip="x")),
        forged(lambda item: item.update(height=0)),
        forged(lambda item: item.update(at="noon")),
        forged(lambda item: item.update(fields={"tip": "x"})),
        forged(lambda item: item.update(fields={"clock": 1})),
        forged(lambda item: item.update(pool=[["a"]])),
        forged(lambda item: item.update(pool=[["a", "b"]])),
        forged(lambda item: item["pool"].__setitem__(0, [item["pool"][1][0], item["pool"][0][1]])),
        forged(other_amount),
    ],
)
def test_what_is_forged_is_refused(here: TestNode, other: TestNode, change: Callable[[Any], Any]) -> None:
    state = decode(with_snapshots(here))
    state = dataclasses.replace(state, parts={"snapshots": change(state.parts["snapshots"])})
    with pytest.raises(BadState, match=r"^(The snapshots of the state|A transaction in a snapshot)"):
        other.node.states.load(encode(state))
    assert other.node.chain.tip().height == 1
