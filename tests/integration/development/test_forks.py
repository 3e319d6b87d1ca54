"""Forks on demand: another branch, mined aside by workers, and swapped in when it is complete."""

import pytest
from redis import Redis
from redis.exceptions import RedisError

from services.development import forks
from services.development.forks import Forked
from services.development.going_back import CannotGoBack
from services.errors import Busy, PolicyError, TipMoved
from services.mining.aside import NoProof
from services.store.searches import Searched
from shared.forkchoice import is_better
from shared.transaction import Transaction
from tests.support.development import Working, search
from tests.support.keys import ALICE, BOB, CAROL, MINER
from tests.support.nodes import TestNode, mine, request_of, round_of
from tests.support.searching import claim_of


class Forking(Working):
    """What a test asks of a node that forks."""

    __test__ = False

    def hashes(self) -> list[str]:
        return self.node.chain.hashes(1, 1000)

    def holders(self, *items: Transaction) -> list[int | None]:
        """The heights of the blocks that hold transactions."""
        found = self.node.chain.locate_many([item.id for item in items])
        return [found[item.id].height if item.id in found else None for item in items]

    def record(self, item: Transaction) -> tuple[str, str] | None:
        found = self.node.pool.record(item.id)
        return None if found is None else (found["status"], found["reason"])


@pytest.fixture
def working(redis: Redis) -> Forking:
    return Forking(redis)


def test_a_fork_has_the_same_height_and_other_blocks(working: Forking) -> None:
    first = working.mine()
    old = [working.mine(working.sign(ALICE, number)) for number in range(3)]
    last = working.node.mining.events.last()
    forked = working.node.forks.fork(3)
    working.check()
    now = working.hashes()
    assert forked == Forked(2, tuple(block.hash for block in old), tuple(now[2:]))
    assert now[1] == first.hash and len(now) == 5 and not set(now[2:]) & {block.hash for block in old}
    assert [event.type for event in working.node.mining.events.since(last, 0.1)] == [*["round"] * 3, "reorganisation"]
    # Their transactions are in the first block of the branch, as a template takes them.
    assert working.holders(*(block.transactions[1] for block in old)) == [3, 3, 3]
    for round_id, name in zip(working.searched, now[2:], strict=True):
        found = round_of(working.node.mining, round_id)
        assert (found.state, found.block, found.sealed_by) == ("sealed", name, "worker")


def test_the_same_transactions_at_the_same_second_make_another_block(working: Forking) -> None:
    old = working.mine(working.sign(ALICE, 0))
    assert working.clock.now() == old.header.timestamp
    working.node.forks.fork(1)
    tip = working.node.chain.tip()
    new = working.node.chain.block_object(tip.hash)
    assert tip.hash != old.hash and new["transactions"] == [item.fields for item in old.transactions]
    assert new["timestamp"] == old.header.timestamp + 1
    working.clock.time = old.header.timestamp
    working.node.forks.fork(1)
    assert working.node.chain.tip().hash not in (tip.hash, old.hash)
    working.check()


def test_what_the_branch_does_not_hold_waits_again(working: Forking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "_HELD", 1)
    old = [working.mine(working.sign(key, 0)).transactions[1] for key in (ALICE, BOB)]
    working.node.forks.fork(2)
    working.check()
    assert working.holders(*old) == [2, None]
    assert working.node.pool.entry(old[1].id) is not None


def test_a_dropped_transaction_leaves_the_branch_and_the_mempool(working: Forking) -> None:
    dropped, stays = working.sign(ALICE, 0), working.sign(BOB, 0)
    working.mine(dropped, stays)
    waits, dropped_too = working.admit(CAROL, 0), working.admit(CAROL, 1)
    working.node.forks.fork(1, drop=[dropped.id, dropped_too.id])
    working.check()
    assert working.holders(dropped, dropped_too, stays, waits) == [None, None, 2, 2]
    assert working.record(dropped) == working.record(dropped_too) == ("dropped", "left out of a fork")
    assert working.node.pool.totals() == (0, 0)
    assert working.node.chain.account(ALICE.address).nonce == 0


def test_what_follows_a_dropped_transaction_waits(working: Forking) -> None:
    items = [working.sign(ALICE, number) for number in range(3)]
    working.mine(*items)
    working.node.forks.fork(1, drop=[items[1].id])
    working.check()
    assert working.holders(*items) == [2, None, None]
    assert [entry.id for entry in working.node.pool.queue(ALICE.address)] == [items[2].id]


def test_an_included_transaction_takes_the_place_of_its_rival(working: Forking) -> None:
    mined = working.sign(ALICE, 0)
    working.mine(mined)
    working.node.going_back.rollback(1)
    rival = working.admit(ALICE, 0, amount="7", fee="0.1")
    snapshot = working.node.going_back.snapshot()
    working.mine(mined)  # the rival's nonce is used now
    assert working.record(rival) is not None
    with pytest.raises(CannotGoBack, match="neither in the last 1 blocks nor in the mempool"):
        working.node.forks.fork(1, include=[rival.id])
    assert working.node.going_back.revert(snapshot)
    first, second = working.admit(BOB, 0, fee="9"), working.admit(BOB, 1)
    working.mine(working.sign(CAROL, 0), working.sign(CAROL, 1))
    working.node.forks.fork(1, include=[rival.id, second.id])
    working.check()
    block = working.node.chain.transaction_ids(working.node.chain.tip().hash)
    assert block[1] == rival.id  # before all others; the second has to wait for the first
    assert {first.id, second.id} < set(block)


def test_an_included_transaction_that_cannot_be_in_the_branch(working: Forking) -> None:
    items = [working.sign(ALICE, number) for number in range(2)]
    working.mine(*items)
    before = working.hashes()
    with pytest.raises(CannotGoBack, match=f"Transaction {items[1].id} does not fit"):
        working.node.forks.fork(1, drop=[items[0].id], include=[items[1].id])
    assert working.hashes() == before and working.record(items[0]) is None
    working.check()


def test_transactions_for_certain_blocks(working: Forking) -> None:
    """As anvil_reorg has them: a payment that was mined is spent otherwise."""
    mined, other = working.sign(ALICE, 0), working.sign(CAROL, 0)
    working.mine(mined, other)
    working.mine()
    working.mine()
    rival, later = working.sign(ALICE, 0, amount="9"), working.sign(BOB, 0)
    working.node.forks.fork(3, placed={1: [rival], 2: [later]})
    working.check()
    assert working.holders(other, rival, later) == [2, 3, 4]
    assert working.record(mined) == ("dropped", "nonce used by another transaction in a reorganisation")


def test_a_transaction_that_does_not_fit_its_block(working: Forking) -> None:
    working.mine()
    before = working.hashes()
    with pytest.raises(CannotGoBack, match="A transaction does not fit block 2"):
        working.node.forks.fork(1, placed={0: [working.sign(ALICE, 5)]})
    assert working.hashes() == before
    working.check()


@pytest.mark.parametrize("depth", [0, -1, 3, 4, 10**12])
def test_a_depth_that_the_chain_does_not_have(working: Forking, depth: int) -> None:
    working.mine()
    working.mine()
    with pytest.raises(CannotGoBack, match="so it cannot go back"):
        working.node.forks.fork(depth)
    assert working.searched == []


def test_a_node_that_does_not_mine(redis: Redis) -> None:
    working = Forking(redis, reward_address="")
    working.mine()
    with pytest.raises(PolicyError) as error:
        working.node.forks.fork(1)
    assert error.value.code == "no_reward_address"


def test_without_workers_nothing_changes(here: TestNode) -> None:
    here.mine()
    tip = here.node.chain.tip()
    began = here.clock.now()
    with pytest.raises(NoProof, match="no proof of block 2 within 300 s"):
        here.node.forks.fork(1)
    assert here.node.chain.tip() == tip and here.clock.now() - began < forks.LONGEST + 10
    [round_id] = {round_id for round_id, _ in here.queue.searches}
    assert round_of(here.node.mining, round_id).state == "cancelled"
    assert len(here.queue.searches) > 50  # a lost job is enqueued again
    assert here.redis.exists(here.node.chain.keys.aside) == 0


def test_no_round_stays_aside_where_the_broker_does_not_answer(here: TestNode, monkeypatch: pytest.MonkeyPatch) -> None:
    here.mine()

    def away(*_: object) -> None:
        raise RedisError("away")

    monkeypatch.setattr(here.queue, "enqueue_search", away)
    with pytest.raises(RedisError):
        here.node.forks.fork(1)
    assert here.node.rounds.aside() == ""


def test_one_round_aside_at_a_time_and_before_others(here: TestNode) -> None:
    template = here.template([])
    assert here.node.mining.open_aside("a" * 32, template, 0, here.clock.now(), 60)
    assert not here.node.mining.open_aside("b" * 32, template, 0, here.clock.now(), 60)
    with pytest.raises(Busy, match="Another branch is being mined"):
        here.mine()
        here.node.forks.fork(1)
    asked = here.node.requests.ask()
    assert here.node.rounds.ensure_open() == "a" * 32 and request_of(here.node.mining, asked).round_id is None
    search(here.node, "a" * 32)
    assert round_of(here.node.mining, "a" * 32).state == "sealed"
    assert mine(here.node).hash == request_of(here.node.mining, asked).block
    # Nobody ended this one: it expires with all that belongs to it.
    assert here.node.mining.open_aside("c" * 32, template, 0, here.clock.now(), 60)
    claim_of(here.node, "c" * 32, "worker", 1, Searched())
    keys = here.node.chain.keys
    for key in (keys.aside, keys.round("c" * 32), keys.round_workers("c" * 32)):
        assert 0 < here.redis.ttl(key) <= 60


def test_a_block_that_comes_meanwhile_is_detached_too(working: Forking) -> None:
    working.mine(working.sign(ALICE, 0))
    seal, came = working.node.rounds.seal, []

    def late(*arguments: object) -> object:
        if not came:
            came.append(working.mine(working.sign(BOB, 0)))
        return seal(*arguments)  # type: ignore[arg-type]

    working.node.rounds.seal = late  # type: ignore[assignment,method-assign]
    forked = working.node.forks.fork(1)
    working.check()
    assert came[0].hash == forked.detached[-1] and working.node.chain.tip().height == 2
    assert working.node.pool.entry(came[0].transactions[1].id) is not None


def test_a_chain_that_goes_back_meanwhile(working: Forking) -> None:
    for _ in range(3):
        working.mine()
    seal = working.node.rounds.seal

    def late(*arguments: object) -> object:
        if working.node.chain.tip().height == 4:
            working.build(working.redis).going_back.rollback(2)
        return seal(*arguments)  # type: ignore[arg-type]

    working.node.rounds.seal = late  # type: ignore[assignment,method-assign]
    with pytest.raises(TipMoved):
        working.node.forks.fork(1)
    assert working.node.chain.tip().height == 2
    working.check()


def test_with_peers_the_branch_outweighs_the_chain(working: Forking) -> None:
    for number in range(3):
        working.mine(working.sign(ALICE, number))
    old = working.node.chain.tip()
    working.node.peers.add("http://127.0.0.1:7001")
    forked = working.node.forks.fork(2)
    working.check()
    tip = working.node.chain.tip()
    assert len(forked.attached) == 3 and tip.height == old.height + 1 and is_better(tip.claim, old.claim)


def test_auto_mining_goes_on_after_it(redis: Redis) -> None:
    working = Forking(redis, automine=True)
    working.mine(working.sign(ALICE, 0))
    working.node.forks.fork(1, drop=[working.node.chain.transaction_ids(working.node.chain.tip().hash)[1]])
    working.node.submit_one(working.sign(BOB, 0))
    working.check()
    assert working.node.chain.tip().height == 3 and working.holders(working.sign(BOB, 0)) == [3]
    assert working.node.chain.account(MINER).balance > 0
