"""The clock of a chain in its state file: a node that loads it goes on in the same time."""

import dataclasses
from typing import Any

import pytest
from redis import Redis

from services.development.state_file import BadState, decode, encode
from services.store.block_times import PLAIN, BlockTimes
from tests.support.nodes import TestNode
from tests.support.stored import assert_store_equals_replay

YEAR = 365 * 86_400


@pytest.fixture
def other(redis: Redis, here: TestNode) -> TestNode:
    """A fresh node of the same chain."""
    return TestNode(redis, dataclasses.replace(here.settings, node="other"), clock=here.clock)


def test_a_plain_clock_is_not_in_the_file(here: TestNode) -> None:
    assert decode(here.node.states.dump()).parts == {}


def test_a_chain_of_another_time_is_loaded_with_its_clock(here: TestNode, other: TestNode) -> None:
    here.node.chain_clock.increase(YEAR)
    here.mine_pool()
    here.node.chain_clock.increase(YEAR)
    here.mine_pool()
    content = here.node.states.dump()
    assert decode(content).parts["clock"]["offset"] == 2 * YEAR
    other.node.states.load(content)
    assert other.node.chain.tip() == here.node.chain.tip()
    assert other.node.states.dump() == content
    assert other.mine_pool().block == here.mine_pool().block
    assert_store_equals_replay(other.node, other.redis)


def test_a_clock_that_was_moved_back_does_not_matter(here: TestNode, other: TestNode) -> None:
    """Its last blocks lie in the future of its own clock."""
    for _ in range(4):
        here.mine()
    now = here.node.chain_clock.following()
    here.node.chain_clock.increase(YEAR)
    here.mine_pool()
    here.node.chain_clock.set(now)
    content = here.node.states.dump()
    other.node.states.load(content)
    assert other.node.chain.tip() == here.node.chain.tip()


def test_stale_blocks_of_another_time_are_loaded_without_a_clock(here: TestNode, other: TestNode) -> None:
    """A revert brings back the clock of before too, so the file has none, but it has the blocks that were left."""
    here.mine()
    snapshot = here.node.going_back.snapshot()
    here.node.chain_clock.increase(YEAR)
    here.mine_pool()
    here.mine_pool()
    assert here.node.going_back.revert(snapshot)
    content = here.node.states.dump()
    assert ("clock" in decode(content).parts, len(decode(content).stale)) == (False, 2)
    other.node.states.load(content)
    assert other.node.states.dump() == content
    here.node.states.load(content)
    assert here.node.chain.tip() == other.node.chain.tip()


def test_what_was_asked_of_the_next_block_is_kept(here: TestNode, other: TestNode) -> None:
    moment = here.node.chain_clock.following() + 77
    here.node.chain_clock.set_next(moment)
    other.node.states.load(here.node.states.dump())
    assert other.node.chain.tip().times == here.node.chain.tip().times
    assert other.mine_pool().block.header.timestamp == moment


def test_a_file_without_a_clock_resets_it(here: TestNode, other: TestNode) -> None:
    other.node.chain_clock.increase(YEAR)
    here.mine()
    other.node.states.load(here.node.states.dump())
    assert other.node.chain.tip().times == PLAIN


@pytest.mark.parametrize(
    "value",
    [
        None,
        3,
        {},
        {"offset": 1},
        {"offset": 1, "next": None, "interval": None, "more": 1},
        {"offset": 1.5, "next": None, "interval": None},
        {"offset": True, "next": None, "interval": None},
        {"offset": "1", "next": None, "interval": None},
        {"offset": None, "next": 2**60, "interval": None},
        {"offset": -(2**60), "next": None, "interval": None},
    ],
)
def test_a_clock_that_cannot_be_is_refused(here: TestNode, other: TestNode, value: Any) -> None:
    here.mine()
    state = dataclasses.replace(decode(here.node.states.dump()), parts={"clock": value})
    with pytest.raises(BadState, match=r"^The clock of the state"):
        other.node.states.load(encode(state))
    assert (other.node.chain.tip().height, other.node.chain.tip().times) == (1, BlockTimes())
