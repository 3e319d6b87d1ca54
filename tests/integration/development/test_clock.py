"""The clock of a development chain: timestamps follow it exactly, everything else goes by the node's clock."""

from collections.abc import Callable

import pytest
from redis import Redis

from services.errors import PolicyError
from services.mining.searches import REFRESH_SECONDS
from services.store.block_times import LAST_MOMENT, PLAIN, BlockTimes
from services.store.searches import Claim, Searched
from shared.block import Block
from shared.errors import TooEarly
from shared.rules.standard import StandardRules
from tests.support.clocks import START
from tests.support.keys import ALICE
from tests.support.nodes import TestNode, make_settings, mine
from tests.support.searching import claim_of
from tests.support.specs import make_spec
from tests.support.stored import assert_store_equals_replay

DAY = 86_400


def sealed(here: TestNode) -> Block:
    """A block of a round, as a worker makes it."""
    block = mine(here.node)
    assert here.node.mining.situation().open_round == ""
    return block


def stamp(here: TestNode) -> float:
    return sealed(here).header.timestamp


def times(here: TestNode) -> BlockTimes:
    return here.node.chain.tip().times


def claim(here: TestNode, round_id: str) -> Claim:
    found = claim_of(here.node, round_id, "w1", 10, Searched())
    assert found is not None
    return found


def test_an_increase_moves_all_blocks_and_adds_up(here: TestNode) -> None:
    clock = here.node.chain_clock
    assert (times(here), clock.offset(), clock.following()) == (PLAIN, 0, START)
    assert clock.increase(DAY) == DAY
    assert clock.following() == START + DAY
    assert stamp(here) == START + DAY
    here.clock.time += 10.5
    assert clock.increase(5) == DAY + 5
    assert stamp(here) == START + DAY + 15
    assert stamp(here) == START + DAY + 16  # in the same second: timestamps rise
    assert clock.offset() == DAY + 5
    assert clock.increase(100) == DAY + 106  # from the last block, which is ahead of the clock
    assert stamp(here) == START + DAY + 116
    assert_store_equals_replay(here.node, here.redis)


def test_a_timestamp_holds_for_one_block_and_time_goes_on_from_it(here: TestNode) -> None:
    clock = here.node.chain_clock
    clock.set_next(START + 1000)
    assert clock.following() == START + 1000 and clock.offset() == 0
    assert stamp(here) == START + 1000
    assert times(here) == BlockTimes(offset=1000)
    here.clock.time += 7
    assert stamp(here) == START + 1007

    clock.set_next(START + 1007)  # not before the last block
    assert stamp(here) == START + 1007
    assert times(here) == BlockTimes(offset=1000)


def test_the_clock_can_be_set_back_to_the_median_of_the_last_blocks(here: TestNode) -> None:
    clock = here.node.chain_clock
    for _ in range(3):
        here.clock.time += 100
        here.mine()
    median = START + 200  # of genesis and three blocks: the third of four
    assert clock.set(median) == 0
    assert clock.offset() == -100
    assert stamp(here) == START + 301  # timestamps rise
    for early in (median - 1, 0):
        with pytest.raises(PolicyError, match=f"{early} is before ") as refusal:
            clock.set(early)
        assert refusal.value.code == "bad_time"
    assert clock.set(START + 5000) == 4800
    assert stamp(here) == START + 5000


def test_an_interval_between_timestamps(here: TestNode) -> None:
    clock = here.node.chain_clock
    assert not clock.remove_interval()
    assert times(here) == PLAIN
    first = stamp(here)
    clock.set_interval(10)
    assert [stamp(here) for _ in range(3)] == [first + 10, first + 20, first + 30]
    clock.set_next(int(first) + 80)
    assert [stamp(here) for _ in range(2)] == [first + 80, first + 90]
    assert clock.remove_interval() and not clock.remove_interval()
    # The clock does not fall back: the chain would have to wait until the node's clock has caught up.
    after = stamp(here)
    assert first + 90 < after < first + 100
    assert after < stamp(here) < after + 10


def test_an_interval_can_run_far_ahead_of_the_nodes_clock(here: TestNode) -> None:
    here.node.chain_clock.set_interval(DAY)
    stamps = [stamp(here) for _ in range(13)]
    assert stamps == [START - 1000 + DAY * (i + 1) for i in range(13)]
    here.node.chain_clock.remove_interval()
    assert here.node.rounds.waits_until() is None
    assert stamp(here) == stamps[-1] + 1


def test_a_round_that_is_open_gets_the_time_too(here: TestNode) -> None:
    """No block is appended with the old time once the clock is set: nor one whose proof was found already."""
    here.node.requests.ask()
    round_id = here.node.rounds.ensure_open()
    assert round_id
    before = claim(here, round_id)
    here.node.chain_clock.set_next(START + 50)
    assert here.node.rounds.seal(before, 0, "w1") is None
    renewed = claim(here, round_id)
    assert (before.version, renewed.version) == ("1", "2")
    accepted = here.node.rounds.seal(renewed, 0, "w1")
    assert accepted is not None and accepted.block.header.timestamp == START + 50 and accepted.request
    assert times(here) == BlockTimes(offset=50)


def test_a_block_of_a_peer_leaves_the_timestamp_that_was_asked_for(here: TestNode) -> None:
    here.node.chain_clock.set_next(START + 50)
    here.mine()
    assert times(here) == BlockTimes(next=START + 50)
    assert stamp(here) == START + 50


def test_only_timestamps_follow_the_clock(redis: Redis) -> None:
    here = TestNode(redis, make_settings(expiry_seconds=60))
    here.admit(ALICE, 0)
    here.node.chain_clock.increase(10 * DAY)
    assert here.node.mempool.expire() == 0
    request_id = here.node.requests.ask()
    request = here.node.requests.wait(request_id, 0)
    assert request.created_at == START
    assert here.node.overview().tip.times.offset == 10 * DAY
    here.clock.time += REFRESH_SECONDS
    assert here.node.mempool.expire() == 0
    here.clock.time += REFRESH_SECONDS + 1
    assert here.node.mempool.expire() == 1


def test_blocks_are_judged_by_the_clock_of_the_chain(here: TestNode) -> None:
    """Blocks of the time ahead are too early for a node whose clock was not moved, and not for one whose was."""
    ahead = StandardRules(here.spec)
    template = ahead.template(here.node.chain.window(here.node.chain.tip()), [], ALICE.address, START + 1000)
    block = here.sealed(template)
    with pytest.raises(TooEarly):
        here.node.acceptor.accept(block)
    here.node.chain_clock.increase(1000)
    here.node.acceptor.accept(block)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda clock: clock.set_next(START - 1001), f"{START - 1001} is lower than previous block's timestamp"),
        (lambda clock: clock.set_next(0), "0 is lower than previous block's timestamp"),
        (lambda clock: clock.set_next(LAST_MOMENT + 1), "the end of the year 9999"),
        (lambda clock: clock.set(START - 1001), "the median of the last 11 blocks' timestamps"),
        (lambda clock: clock.set(2**63), "the end of the year 9999"),
        (lambda clock: clock.increase(LAST_MOMENT), "the end of the year 9999"),
        (lambda clock: clock.increase(2**64), "the end of the year 9999"),
        (lambda clock: clock.set_interval(LAST_MOMENT), "the end of the year 9999"),
    ],
)
def test_an_impossible_time_changes_nothing(here: TestNode, act: Callable[..., object], words: str) -> None:
    with pytest.raises(PolicyError, match="^Timestamp error: .*" + words) as refusal:
        act(here.node.chain_clock)
    assert refusal.value.code == "bad_time"
    assert times(here) == PLAIN


@pytest.mark.parametrize(("block_interval", "most"), [(0, 120), (15, 45)])
def test_with_peers_the_clock_stays_within_what_they_accept(redis: Redis, block_interval: int, most: int) -> None:
    here = TestNode(redis, make_settings(make_spec(block_interval=block_interval, difficulty=64)))
    here.node.peers.add("http://127.0.0.1:5001")
    clock = here.node.chain_clock
    words = f"this node has peers, and they refuse blocks more than {most} s ahead"
    for act in (clock.increase, lambda s: clock.set(START + s), lambda s: clock.set_next(START + s)):
        with pytest.raises(PolicyError, match=words):
            act(most + 1)
        assert times(here) == PLAIN
    with pytest.raises(PolicyError, match="this node has peers, whose clocks"):
        clock.set_interval(1)
    assert clock.increase(most) == most
    with pytest.raises(PolicyError, match=words):
        clock.increase(1)


def test_a_damaged_field_counts_as_not_set(here: TestNode) -> None:
    here.node.chain_clock.increase(DAY)
    for name in ("next_timestamp", "timestamp_interval"):
        here.redis.hset(here.node.chain.keys.tip, name, "soon")
    assert times(here) == BlockTimes(offset=DAY)
    assert stamp(here) == START + DAY
    here.redis.hset(here.node.chain.keys.tip, "time_offset", "soon")
    here.node.chain_clock.set_interval(5)
    assert times(here) == BlockTimes(interval=5)
    assert stamp(here) == START + DAY + 5


def test_a_snapshot_brings_back_the_clock(here: TestNode) -> None:
    clock, going_back = here.node.chain_clock, here.node.going_back
    clock.increase(1_000)
    snapshot, offset = going_back.snapshot(), clock.offset()
    clock.increase(5_000)
    clock.set_interval(7)
    mine(here.node)
    assert going_back.revert(snapshot)
    assert times(here) == BlockTimes(offset=offset)


def test_a_snapshot_of_a_clock_that_was_never_moved_brings_back_that(here: TestNode) -> None:
    snapshot = here.node.going_back.snapshot()
    here.node.chain_clock.increase(5_000)
    assert here.node.going_back.revert(snapshot)
    assert times(here) == PLAIN
