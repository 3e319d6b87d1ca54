"""Reorganisations of any depth on a real server: afterwards every key says what a replay of the chain computes.

g - a1 - … - an          with transactions on both sides
 \\- b1 - … - bn - bm
"""

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from redis import Redis

from shared.keys import KeyPair
from tests.network.branches import check, check_pool, fork, pending, random_block, status
from tests.network.ports import Member, Network
from tests.support.keys import ALICE, BOB, CAROL, DAVE, KEYS
from tests.support.specs import COIN, make_spec
from tests.support.stopwatch import Stopwatch

ANNE, BEN = (KeyPair(bytes([200 + i]) * 32) for i in range(2))


@contextmanager
def no_slow_script(redis: Redis) -> Iterator[None]:
    """No command holds the server for more than 100 ms."""
    redis.config_set("slowlog-log-slower-than", 100_000)
    redis.slowlog_reset()
    yield
    slow = redis.slowlog_get(10)
    assert not slow, [(entry["duration"], entry["command"][:80]) for entry in slow]


@pytest.mark.parametrize(("depth", "counted"), [(1, 1), (2, 2), (4, 2), (5, 5), (9, 5), (11, 10), (100, 100)])
def test_depths(network: Network, depth: int, counted: int) -> None:
    a, b = network.members("a", "b")
    a.grow(5, ANNE.address)
    network.copy(a, b)
    a.grow(depth, ANNE.address)
    b.grow(depth + 1, BEN.address)
    with no_slow_script(network.redis):
        assert a.resolve().replaced
        assert not b.resolve().replaced
    assert a.hashes() == b.hashes()
    assert a.height == 1 + 5 + depth + 1
    assert a.node.chain.account(BEN.address).balance == (depth + 1) * COIN
    assert a.node.chain.account(ANNE.address).balance == 5 * COIN
    counters = a.node.mining.counters()
    by_depth = {name: count for name, count in counters.items() if name.startswith("reorganisations_")}
    assert counters["reorganisations"] == 1
    assert {name: count for name, count in by_depth.items() if count} == {f"reorganisations_{counted}": 1}
    check(a)
    check(b)


@pytest.mark.parametrize("seed", range(2))
def test_random_branches_replay_to_the_same_state(network: Network, seed: int) -> None:
    rng = random.Random(seed)
    a, b = network.members("a", "b")
    keys = KEYS[:6]
    a.mine(*random_block(a, rng, keys, 20), recipient=ANNE.address)
    a.grow(3, ANNE.address)
    network.copy(a, b)
    for _ in range(3):  # back and forth, each time the other has one block more
        for loser, winner in ((a, b), (b, a)):
            for _ in range(rng.randint(1, 8)):
                loser.mine(*random_block(loser, rng, keys, rng.randint(0, 8)), recipient=rng.choice(keys).address)
            while winner.height <= loser.height:
                winner.mine(*random_block(winner, rng, keys, rng.randint(0, 8)), recipient=rng.choice(keys).address)
            mined = {i for h in loser.hashes() for i in loser.node.chain.transaction_ids(h)}
            with no_slow_script(network.redis):
                assert loser.resolve().replaced
            assert loser.hashes() == winner.hashes()
            check(loser)
            for transaction_id in mined:
                found = loser.node.chain.locate(transaction_id) or loser.node.pool.entry(transaction_id)
                # Rewards of the branch that was left are nobody's transactions.
                assert found or loser.node.pool.record(transaction_id) or _is_reward(loser, transaction_id)


def _is_reward(member: Member, transaction_id: str) -> bool:
    """Whether some stored block has it as its reward."""
    ids: Any = member.redis.hvals(member.node.chain.keys.ids)
    return any(packed[:32].hex() == transaction_id for packed in ids)


def test_the_same_transaction_on_both_sides_stays_mined(network: Network) -> None:
    """At the same place, at another place, and at another height: it is confirmed all the time."""
    a, b = fork(network)
    same, moved, later = (a.sign(key, 0) for key in (ALICE, CAROL, DAVE))
    a.mine(same, moved, later)
    b.mine(same, recipient=BEN.address)
    b.mine(later, moved, recipient=BEN.address)
    assert a.resolve().replaced
    places = [a.node.chain.locate(item.id) for item in (same, moved, later)]
    assert [(place.height, place.position) for place in places if place] == [(3, 1), (4, 2), (4, 1)]
    assert pending(a) == {}
    assert all(a.node.pool.record(item.id) is None for item in (same, moved, later))
    check(a)


def test_detached_transactions_come_back_in_order(network: Network) -> None:
    a, b = fork(network)
    first, second, third = (a.sign(ALICE, nonce, fee="0.5") for nonce in range(3))
    a.mine(first)
    a.mine(second, third)
    waiting = a.admit(ALICE, 3)
    b.grow(3, BEN.address)
    assert a.resolve().replaced
    assert pending(a) == {ALICE.address: [first.id, second.id, third.id, waiting.id]}
    assert a.get(f"/accounts/{ALICE.address}")["pending_nonce"] == 4
    assert {status(a, item) for item in (first, second, third, waiting)} == {"pending"}
    check(a)
    a.mine_pool()
    assert {status(a, item) for item in (first, second, third, waiting)} == {"confirmed"}
    check(a)


def test_the_branch_has_a_part_of_a_senders_transactions(network: Network) -> None:
    a, b = fork(network)
    items = [a.sign(ALICE, nonce) for nonce in range(4)]
    a.mine(*items)
    b.mine(*items[:2], recipient=BEN.address)
    b.grow(1, BEN.address)
    assert a.resolve().replaced
    assert pending(a) == {ALICE.address: [items[2].id, items[3].id]}
    check(a)


def test_another_transaction_took_the_nonce(network: Network) -> None:
    a, b = fork(network)
    mine, theirs = a.sign(ALICE, 0), b.sign(ALICE, 0, amount="7")
    after = a.sign(ALICE, 1)
    a.mine(mine, after)
    b.mine(theirs, recipient=BEN.address)
    b.grow(1, BEN.address)
    assert a.resolve().replaced
    assert status(a, theirs) == "confirmed"
    record = a.node.pool.record(mine.id)
    assert record is not None and record["status"] == "dropped" and "nonce used" in record["reason"]
    assert pending(a) == {ALICE.address: [after.id]}
    check(a)


def test_a_waiting_transaction_whose_nonce_the_branch_used(network: Network) -> None:
    a, b = fork(network)
    waiting, next_one = a.admit(ALICE, 0), a.admit(ALICE, 1)
    mined = a.admit(CAROL, 0)
    a.grow(1, ANNE.address)
    b.mine(b.sign(ALICE, 0, amount="7"), mined, recipient=BEN.address)
    b.grow(1, BEN.address)
    assert a.resolve().replaced
    assert status(a, waiting) == "dropped"
    assert status(a, mined) == "confirmed"
    assert a.node.pool.record(mined.id) is None
    assert pending(a) == {ALICE.address: [next_one.id]}
    check(a)


def test_payments_from_a_reward_that_is_gone(network: Network) -> None:
    a, b = fork(network)
    a.grow(1, ANNE.address)
    spent = a.sign(ANNE, 0, amount="0.5")
    a.mine(spent, recipient=ANNE.address)
    waiting = a.admit(ANNE, 1, amount="1.25")
    b.grow(3, BEN.address)
    assert a.resolve().replaced
    for item in (spent, waiting):
        record = a.node.pool.record(item.id)
        if item is spent:
            assert record is not None and record["reason"].startswith("insufficient_funds")
    assert spent.id not in str(pending(a))
    a.mine_pool()  # what had to wait behind the payment that is gone can never be mined
    check(a)
    assert a.node.chain.account(ANNE.address).balance == 0


def test_a_payment_from_a_payment_comes_back_with_it(network: Network) -> None:
    """Ben's money comes from Anne, and hers from Alice: all payments return, none is dropped."""
    a, b = fork(network)
    chain = [
        a.sign(ALICE, 0, recipient=ANNE.address, amount="100"),
        a.sign(ANNE, 0, recipient=BEN.address, amount="90"),
        a.sign(BEN, 0, recipient=CAROL.address, amount="80"),
        a.sign(BEN, 1, recipient=ANNE.address, amount="5"),
        a.sign(ANNE, 1, recipient=CAROL.address, amount="15"),
    ]
    a.mine(*chain)
    b.grow(2, CAROL.address)
    assert a.resolve().replaced
    assert {status(a, item) for item in chain} == {"pending"}
    check(a)
    while pending(a):
        a.mine_pool()
    assert {status(a, item) for item in chain} == {"confirmed"}
    check(a)


def test_allowances_are_rolled_back(network: Network) -> None:
    a, b = fork(network)
    a.mine(a.sign(ALICE, 0, type="approve", recipient=BOB.address, amount="50"))
    network.copy(a, b)
    used = a.sign(BOB, 0, type="transfer_from", owner=ALICE.address, recipient=CAROL.address, amount="50")
    a.mine(used)
    assert a.node.chain.allowance(ALICE.address, BOB.address) == 0
    raised = b.sign(ALICE, 1, type="approve", recipient=BOB.address, amount="60")
    given = b.sign(ALICE, 2, type="approve", recipient=DAVE.address, amount="7")
    b.mine(raised, given, recipient=BEN.address)
    b.grow(1, BEN.address)
    assert a.resolve().replaced
    assert a.node.chain.allowance(ALICE.address, BOB.address) == 60 * COIN
    assert a.node.chain.allowance(ALICE.address, DAVE.address) == 7 * COIN
    assert status(a, used) == "pending"
    check(a)
    a.mine_pool()
    assert a.node.chain.allowance(ALICE.address, BOB.address) == 10 * COIN


def test_a_payment_from_an_allowance_that_is_gone(network: Network) -> None:
    a, b = fork(network)
    a.mine(a.sign(ALICE, 0, type="approve", recipient=BOB.address, amount="50"))
    used = a.sign(BOB, 0, type="transfer_from", owner=ALICE.address, recipient=CAROL.address, amount="50")
    a.mine(used)
    b.mine(b.sign(ALICE, 0, type="approve", recipient=BOB.address, amount="1"), recipient=BEN.address)
    b.grow(2, BEN.address)
    assert a.resolve().replaced
    record = a.node.pool.record(used.id)
    assert record is not None and record["reason"].startswith("insufficient_allowance")
    check(a)


def test_a_branch_that_was_left_is_adopted_again_from_our_own_store(network: Network) -> None:
    """A → B → A: nothing is fetched again, and the indexes are A's."""
    a, b, c = network.members("a", "b", "c")
    one, two = a.sign(ALICE, 0), a.sign(CAROL, 0)
    a.mine(one, recipient=ANNE.address)
    a.mine(two, recipient=ANNE.address)
    network.copy(a, c)
    first = a.hashes()
    b.mine(two, recipient=BEN.address)
    b.grow(2, BEN.address)
    assert a.resolve().replaced and a.hashes() == b.hashes()
    assert (status(a, one), status(a, two)) == ("pending", "confirmed")
    check(a)

    c.grow(2, CAROL.address)
    network.http.asked.clear()
    assert a.resolve().replaced
    assert a.hashes() == c.hashes() and a.hashes()[: len(first)] == first
    assert (status(a, one), status(a, two)) == ("confirmed", "confirmed")
    assert pending(a) == {}
    asked = [path for url, path in network.http.asked if url == c.url and path.startswith("/chain")]
    assert asked == ["/chain?from=4&limit=2"]
    check(a)
    assert a.redis.zcard(a.node.chain.keys.staged) == 0


def test_equal_work_goes_to_the_lower_hash_on_both_sides(network: Network) -> None:
    a, b = network.members("a", "b")
    a.grow(3, ANNE.address)
    b.grow(3, BEN.address)
    best = min(a.tip, b.tip)
    replaced = [a.resolve().replaced, b.resolve().replaced]
    assert sorted(replaced) == [False, True]
    assert a.tip == b.tip == best
    assert not a.resolve().replaced and not b.resolve().replaced
    check(a)
    check(b)


def test_the_branch_may_be_shorter_if_it_has_more_work(redis: Redis) -> None:
    """With changing difficulty a heavier chain can have fewer blocks: heights above its tip are gone."""
    network = Network(redis, make_spec(difficulty=256, block_interval=10))
    a, b = network.members("a", "b")
    for member, seconds in ((a, 60), (b, 2)):
        network.clock.time = 1_750_000_000
        for _ in range(24 if member is a else 20):
            network.clock.time += seconds
            member.mine(recipient=(ANNE if member is a else BEN).address)
    network.clock.time = 1_750_010_000
    assert b.node.chain.tip().chainwork > a.node.chain.tip().chainwork and b.height < a.height
    assert a.resolve().replaced
    assert a.hashes() == b.hashes()
    assert a.get("/blocks/25", 404)["code"] == "unknown_block"
    check(a)


@pytest.mark.parametrize(
    ("depth", "size"),
    [(50, 20), pytest.param(100, 100, marks=pytest.mark.slow), pytest.param(1200, 4, marks=pytest.mark.slow)],
)
def test_deep_reorganisations_are_quick(network: Network, depth: int, size: int) -> None:
    """All of it detached, then all of it attached again; no slice above 100 ms."""
    a, b, c = network.members("a", "b", "c")
    keys = KEYS[: min(size, 50)]
    each = size // len(keys)
    for height in range(depth):
        a.mine(
            *(
                a.sign(key, each * height + i, amount="0.001", recipient=ANNE.address)
                for key in keys
                for i in range(each)
            ),
            recipient=ANNE.address,
        )
    b.grow(depth + 1, BEN.address)
    network.copy(b, c)
    left = a.hashes()[1:]
    server = network.redis.info("server")["process_id"]
    with no_slow_script(network.redis):
        watch = Stopwatch(server)
        assert a.resolve().replaced
        detached = watch.seconds()
    assert a.hashes() == b.hashes()
    assert a.node.pool.totals()[0] == depth * size
    check_pool(a)

    # A peer that goes on where we were.
    texts = [a.node.chain.block_bytes(name) for name in left]
    c.redis.delete(*c.redis.keys(c.node.chain.keys.prefix + "*"))
    c.node.chain.initialise()
    for text in texts:
        assert text is not None
        c.node.acceptor.accept(c.node.rules.read_block(json.loads(text)))
    c.grow(2, CAROL.address)
    for name in left:  # as if the node had never had them
        a.redis.hdel(a.node.chain.keys.blocks, name)
    with no_slow_script(network.redis):
        watch = Stopwatch(server)
        assert a.resolve(c.url).replaced
        attached = watch.seconds()
    assert a.hashes() == c.hashes() and pending(a) == {}
    check(a)
    print(f"depth {depth}, {size} transactions a block: {detached:.2f} s to leave, {attached:.2f} s to fetch and adopt")
    assert detached < 10 and attached < 30, "on any machine; the benchmark says how quick"


def test_the_ancestors_that_a_node_remembers_are_those_of_its_chain(network: Network) -> None:
    """A window grows by a header with each block, through reorganisations too; a node that remembers nothing agrees."""
    a, b = network.members("a", "b")

    def agree() -> None:
        tip = a.node.chain.tip()
        fresh = a.build(a.redis).chain.window(tip)
        assert tuple(a.node.chain.window(tip)) == tuple(fresh)
        assert len(fresh) == min(tip.height, a.node.rules.window_size)

    for _ in range(a.node.rules.window_size + 5):
        a.grow(1, ANNE.address)
        agree()
    network.copy(a, b)
    a.grow(2, ANNE.address)
    agree()
    b.grow(3, BEN.address)
    assert a.resolve().replaced
    agree()
    a.grow(1, ANNE.address)
    agree()
