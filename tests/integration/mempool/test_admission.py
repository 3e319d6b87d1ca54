"""Admission, case by case: what is refused and why, and what is recorded of each transaction that leaves."""

from collections.abc import Sequence

import pytest
from redis import Redis

from services.errors import Busy
from services.mempool.admission import Admitted, Mempool
from services.store.pool import Admission, Entry, PoolStore, Question, Written
from shared.errors import NodeError, Refusal
from tests.support.clocks import START
from tests.support.keys import ALICE, BOB, CAROL, DAVE, KEYS
from tests.support.nodes import TestNode, admit_one, make_settings
from tests.support.specs import COIN


def refusal(outcome: Admitted | NodeError) -> str:
    assert isinstance(outcome, NodeError)
    return outcome.code if isinstance(outcome, Refusal) else ""


def refused(here: TestNode, *args: object, **fields: object) -> str:
    return refusal(here.node.mempool.admit_many([here.sign(*args, **fields)])[0])  # type: ignore[arg-type] # passed on


def record_of(here: TestNode, transaction_id: str) -> tuple[str, str]:
    found = here.node.pool.record(transaction_id)
    assert found is not None and found["at"] == here.clock.now()
    return found["status"], found["reason"]


def waiting(here: TestNode) -> list[str]:
    return [entry.id for page in here.node.pool.by_fee() for entry in page]


# --- acknowledgement ---


def test_an_acknowledgement_names_the_next_block_and_whether_somebody_attends_to_it(here: TestNode) -> None:
    first = admit_one(here.node.mempool, here.sign(ALICE, 0))
    assert (first.height, first.attended, first.new) == (2, False, True)
    here.mine()
    here.node.mining.open("a" * 32, "0", here.template([]), 0, START)
    second = admit_one(here.node.mempool, here.sign(ALICE, 1))
    assert (second.height, second.attended) == (3, True)


def test_a_transaction_that_waits_is_acknowledged_again_and_kept_once(here: TestNode) -> None:
    transaction = here.admit(ALICE, 0)
    again = admit_one(here.node.mempool, transaction)
    assert (again.id, again.new) == (transaction.id, False)
    assert waiting(here) == [transaction.id]
    assert here.node.mempool.admit_many([transaction, transaction]) == [again, again]


def test_a_mined_transaction_is_refused_as_used(here: TestNode) -> None:
    transaction = here.admit(ALICE, 0)
    here.mine_pool()
    assert refusal(here.node.mempool.admit_many([transaction])[0]) == "nonce_too_low"


# --- nonces ---


def test_the_window_of_nonces_has_exactly_its_size(redis: Redis) -> None:
    here = TestNode(redis, make_settings(nonces_ahead=3))
    assert refused(here, ALICE, 4) == "nonce_too_far"
    here.admit(ALICE, 3)
    here.mine(here.sign(ALICE, 0))
    here.admit(ALICE, 4)
    assert refused(here, ALICE, 5) == "nonce_too_far"
    assert refused(here, ALICE, 0) == "nonce_too_low"


def test_a_gap_waits_until_it_closes(here: TestNode) -> None:
    late = [here.admit(ALICE, nonce, fee=9) for nonce in (2, 1)]
    assert here.node.pool.next_nonce(ALICE.address) == 0
    assert here.mine_pool().block.transactions[1:] == ()
    first = here.admit(ALICE, 0)
    assert here.node.pool.next_nonce(ALICE.address) == 3
    mined = here.mine_pool().block.transactions[1:]
    assert [item.id for item in mined] == [first.id, late[1].id, late[0].id]


def test_a_batch_takes_its_nonces_in_the_order_given(here: TestNode) -> None:
    batch = [here.sign(key, nonce) for nonce in range(5) for key in (ALICE, CAROL)]
    batch.append(here.sign(ALICE, 4, fee=1))  # replaces the one before it
    outcomes = here.node.mempool.admit_many(batch)
    assert all(isinstance(outcome, Admitted) for outcome in outcomes)
    assert here.node.pool.next_nonce(ALICE.address) == here.node.pool.next_nonce(CAROL.address) == 5
    assert record_of(here, batch[8].id) == ("replaced", f"replaced by {batch[10].id}")


# --- funds ---


def test_the_whole_queue_must_be_covered(here: TestNode) -> None:
    here.admit(ALICE, 0, amount="600", fee="1")
    assert refused(here, ALICE, 1, amount="399", fee=1) == "insufficient_funds"
    here.admit(ALICE, 1, amount="398", fee="1")
    assert refused(here, ALICE, 5, amount=1) == "insufficient_funds"
    # A replacement frees what it replaces.
    here.admit(ALICE, 0, amount="1", fee="2")
    here.admit(ALICE, 2, amount="598")
    assert refused(here, ALICE, 3, amount=1) == "insufficient_funds"


def test_a_total_that_is_unknown_is_summed_up_again(here: TestNode) -> None:
    gone = here.admit(ALICE, 0, amount="600")
    here.admit(ALICE, 1, amount="300")
    here.node.pool.drop([gone.id], "dropped", "by hand", START)
    (view,) = here.node.pool.view([Question(ALICE.address, [])])
    assert view.total is None
    assert refused(here, ALICE, 0, amount="701") == "insufficient_funds"
    here.admit(ALICE, 0, amount="700")
    (view,) = here.node.pool.view([Question(ALICE.address, [])])
    assert view.total == 1000 * COIN


def test_transfer_from_needs_allowance_and_the_owners_coins(here: TestNode) -> None:
    spend = {"type": "transfer_from", "owner": ALICE.address, "recipient": DAVE.address}
    assert refused(here, CAROL, 0, **spend, amount="3") == "insufficient_allowance"
    # An approval that still waits allows nothing yet.
    here.admit(ALICE, 0, type="approve", recipient=CAROL.address, amount="2000")
    assert refused(here, CAROL, 0, **spend, amount="3") == "insufficient_allowance"
    here.mine_pool()
    assert refused(here, CAROL, 0, **spend, amount="1001") == "insufficient_funds"
    assert refused(here, CAROL, 0, **spend, amount="1", fee="1001") == "insufficient_funds"
    # The owner pays the amount; the sender pays only the fee.
    here.admit(CAROL, 0, **spend, amount="900", fee="1")
    (view,) = here.node.pool.view([Question(CAROL.address, [])])
    assert view.total == COIN
    here.mine_pool()
    assert here.node.chain.account(ALICE.address).balance == 100 * COIN


def test_an_owner_who_spends_by_allowance_pays_from_the_queue(here: TestNode) -> None:
    here.mine(here.sign(ALICE, 0, type="approve", recipient=ALICE.address, amount="5000"))
    spend = {"type": "transfer_from", "owner": ALICE.address, "recipient": DAVE.address}
    here.admit(ALICE, 1, **spend, amount="600")
    assert refused(here, ALICE, 2, **spend, amount="401") == "insufficient_funds"
    here.admit(ALICE, 2, **spend, amount="400")


# --- fees and replacement ---


def test_the_minimum_fee_is_asked_of_every_transaction(redis: Redis) -> None:
    here = TestNode(redis, make_settings(min_fee=5))
    assert refused(here, ALICE, 0, fee=4) == "fee_too_low"
    here.admit(ALICE, 0, fee=5)


@pytest.mark.parametrize(("old", "enough"), [(0, 1), (1, 2), (9, 10), (10, 11), (11, 13), (10**18, 11 * 10**17)])
def test_a_replacement_must_pay_a_tenth_more(here: TestNode, old: int, enough: int) -> None:
    first = here.admit(ALICE, 0, fee=old)
    assert refused(here, ALICE, 0, fee=enough - 1, data="other") == "replacement_underpriced"
    assert refused(here, ALICE, 0, fee=old, data="other") == "replacement_underpriced"
    second = here.admit(ALICE, 0, fee=enough)
    assert waiting(here) == [second.id]
    assert record_of(here, first.id) == ("replaced", f"replaced by {second.id}")


def test_a_nonce_is_replaced_ten_times_at_most(here: TestNode) -> None:
    for turn in range(11):
        here.admit(ALICE, 0, fee=2**turn)
    assert refused(here, ALICE, 0, fee=2**11) == "too_many_replacements"
    # The count starts again once the nonce has left the mempool.
    here.node.pool.drop(waiting(here), "dropped", "by hand", START)
    here.admit(ALICE, 0, fee=1)
    here.admit(ALICE, 0, fee=2)


def test_a_batch_may_have_more_groups_of_one_sender_than_there_are_attempts(here: TestNode) -> None:
    """A repeated nonce begins a new group. Each group is progress, not a failed attempt."""
    transactions = [here.sign(ALICE, 0)] * 100
    outcomes = here.node.mempool.admit_many(transactions)
    assert [outcome.new for outcome in outcomes if isinstance(outcome, Admitted)] == [True] + 99 * [False]


def test_a_sender_whose_view_never_holds_is_told_so_and_holds_up_no_other(
    here: TestNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit, calls = here.node.pool.admit, 0

    def contended(admissions: list[Admission], now: float, most: int) -> list[Written | None]:
        """As if another process changed Alice's queue between each read and each write."""
        nonlocal calls
        calls += 1
        return [
            None if admission.sender == ALICE.address else admit([admission], now, most)[0] for admission in admissions
        ]

    monkeypatch.setattr(here.node.pool, "admit", contended)
    outcomes = here.node.mempool.admit_many([here.sign(ALICE, 0), here.sign(BOB, 0), here.sign(ALICE, 1)])
    assert [getattr(outcome, "code", "admitted") for outcome in outcomes] == ["contended", "admitted", "contended"]
    assert calls == 1 + 64  # the first was progress: Bob's
    monkeypatch.undo()
    here.admit(ALICE, 0)


# --- a full mempool ---


@pytest.fixture
def full(redis: Redis) -> TestNode:
    """Three places: Alice's two (fees 10 and 20), and Bob's (fee 100)."""
    here = TestNode(redis, make_settings(max_mempool=3))
    here.admit(ALICE, 0, fee=10)
    here.admit(ALICE, 1, fee=20)
    here.admit(BOB, 0, fee=100)
    return here


def test_a_better_fee_displaces_the_cheapest_end_of_a_queue(full: TestNode) -> None:
    victim = full.node.pool.queue(ALICE.address)[1]
    assert refused(full, CAROL, 0, fee=21) == "mempool_full"
    newcomer = full.admit(CAROL, 0, fee=22)
    assert record_of(full, victim.id) == ("evicted", "displaced by a higher fee")
    assert full.node.pool.next_nonce(ALICE.address) == 1
    # Now Alice's first, which is cheaper still, is an end.
    full.admit(CAROL, 1, fee=11)
    assert full.node.pool.next_nonce(ALICE.address) is None
    assert full.node.pool.totals()[0] == 3
    assert newcomer.id in waiting(full)


def test_nobody_displaces_a_transaction_of_his_own(full: TestNode) -> None:
    assert refused(full, ALICE, 2, fee=1000) == "mempool_full"
    assert full.node.pool.next_nonce(ALICE.address) == 2


def test_nobody_displaces_another_to_wait_for_a_gap(full: TestNode) -> None:
    assert refused(full, CAROL, 1, fee=1000) == "mempool_full"
    assert refused(full, BOB, 2, fee=1000) == "mempool_full"
    full.admit(BOB, 1, fee=1000)


def test_a_batch_that_fills_the_pool_midway_displaces_once(redis: Redis) -> None:
    """Only because of the first is the second in sequence and the pool full."""
    here = TestNode(redis, make_settings(max_mempool=3))
    cheap = [here.admit(ALICE, 0, fee=10), here.admit(BOB, 0, fee=100)]
    batch = [here.sign(CAROL, nonce, fee=50) for nonce in range(3)]
    outcomes = here.node.mempool.admit_many(batch)
    assert [getattr(outcome, "code", "admitted") for outcome in outcomes] == ["admitted", "admitted", "mempool_full"]
    assert set(waiting(here)) == {cheap[1].id, batch[0].id, batch[1].id}
    assert record_of(here, cheap[0].id) == ("evicted", "displaced by a higher fee")
    assert here.node.pool.next_nonce(CAROL.address) == 2


def test_a_replacement_needs_no_place(full: TestNode) -> None:
    full.admit(ALICE, 0, fee=11)
    assert full.node.pool.totals()[0] == 3


def test_nobody_is_displaced_once_there_is_room_again(full: TestNode) -> None:
    """Bob's replacement was judged while the pool was full; that must not displace Alice's now."""
    bob = full.admit(BOB, 0, fee=200)
    full.node.pool.drop([full.node.pool.queue(ALICE.address)[0].id], "dropped", "by hand", START)
    kept = full.node.pool.queue(ALICE.address)[0]
    more = full.admit(BOB, 1, fee=500)
    assert set(waiting(full)) == {bob.id, more.id, kept.id}


def test_a_full_mempool_says_so(full: TestNode) -> None:
    with pytest.raises(Busy) as caught:
        full.admit(CAROL, 0, fee=1)
    assert caught.value.code == "mempool_full"


def test_a_mempool_that_a_reorganisation_has_overfilled_does_not_grow(full: TestNode, redis: Redis) -> None:
    small = TestNode(redis, make_settings(max_mempool=1))
    assert refused(small, CAROL, 0, fee=1) == "mempool_full"
    small.admit(ALICE, 0, fee=11)  # a replacement takes no place
    small.admit(CAROL, 0, fee=1000)  # nor does one that displaces another
    assert small.node.pool.totals()[0] == 3
    assert refused(small, CAROL, 1, fee=1) == "mempool_full"


def test_who_was_evicted_may_come_back(full: TestNode) -> None:
    transaction = full.sign(CAROL, 0, fee=30)
    admit_one(full.node.mempool, transaction)
    full.admit(DAVE, 0, fee=40)  # Alice's last goes first
    full.admit(KEYS[9], 0, fee=50)
    assert record_of(full, transaction.id)[0] == "evicted"
    full.mine_pool()
    assert admit_one(full.node.mempool, transaction).new
    assert full.node.pool.record(transaction.id) is None


# --- ways out ---


def test_what_waits_too_long_expires(redis: Redis) -> None:
    here = TestNode(redis, make_settings(expiry_seconds=7200))
    old = here.admit(ALICE, 0)
    here.clock.time += 3600
    young = here.admit(ALICE, 1)
    assert here.node.mempool.expire() == 0
    here.clock.time += 3600
    assert here.node.mempool.expire() == 1
    assert record_of(here, old.id) == ("expired", "not mined within 2 hours")
    assert waiting(here) == [young.id]
    assert here.node.pool.next_nonce(ALICE.address) == 0


@pytest.mark.parametrize(("seconds", "span"), [(25, "25 s"), (3600, "1 hour"), (5400, "5400 s"), (14400, "4 hours")])
def test_the_record_says_how_long_was_waited(redis: Redis, seconds: int, span: str) -> None:
    here = TestNode(redis, make_settings(expiry_seconds=seconds))
    old = here.admit(ALICE, 0)
    here.clock.time += seconds
    assert here.node.mempool.expire() == 1
    assert record_of(here, old.id) == ("expired", f"not mined within {span}")


def test_a_nonce_that_another_transaction_used_leaves_a_record(here: TestNode) -> None:
    lost = [here.admit(ALICE, nonce) for nonce in (0, 1)]
    stays = here.admit(ALICE, 2)
    mined = [here.sign(ALICE, nonce, data="other wallet") for nonce in (0, 1)]
    here.mine(*mined)
    for transaction in lost:
        assert record_of(here, transaction.id) == ("dropped", "nonce used by another transaction in block 2")
    assert waiting(here) == [stays.id]
    assert here.node.pool.totals() == (1, here.redis.hstrlen(here.node.pool.keys.entries, stays.id))


def test_a_mined_transaction_leaves_no_record_and_nothing_else(here: TestNode) -> None:
    transactions = [here.admit(key, 0) for key in (ALICE, CAROL)]
    here.mine_pool()
    assert [here.node.pool.record(item.id) for item in transactions] == [None, None]
    left = [name.decode() for name in here.redis.scan_iter(match="*pool:*")]
    assert left == [here.node.pool.keys.pool]  # arrivals so far
    assert here.node.pool.totals() == (0, 0)


def test_records_are_forgotten_by_age_and_by_number(redis: Redis) -> None:
    here = TestNode(redis, make_settings(record_seconds=1000, max_records=4, expiry_seconds=10**7))
    names = []
    for key in KEYS[:8]:
        transaction = here.admit(key, 0)
        here.node.pool.drop([transaction.id], "dropped", "by hand", here.clock.now())
        names.append(transaction.id)
        here.clock.time += 100
    here.node.mempool.expire()
    assert [here.node.pool.record(name) is not None for name in names] == [False] * 4 + [True] * 4
    here.clock.time = START + 500 + 1000
    here.node.mempool.expire()
    assert [here.node.pool.record(name) is not None for name in names] == [False] * 6 + [True] * 2
    counters = here.node.mining.counters()
    assert counters["mempool_dropped"] == 8


# --- without replacing ---


def test_a_nonce_that_is_taken_stays_taken_whatever_the_fee(here: TestNode) -> None:
    """For senders whose nonces the node chooses: two of them at once must not take each other's place."""
    first = here.admit(ALICE, 0, fee=100)
    higher = here.sign(ALICE, 0, fee=1000)
    assert refusal(here.node.mempool.admit_many([higher], replaces=False)[0]) == "replacement_underpriced"
    assert waiting(here) == [first.id]
    [again] = here.node.mempool.admit_many([first], replaces=False)
    assert isinstance(again, Admitted) and not again.new
    [following] = here.node.mempool.admit_many([here.sign(ALICE, 1)], replaces=False)
    assert isinstance(following, Admitted) and following.new
    [replaced] = here.node.mempool.admit_many([higher])
    assert isinstance(replaced, Admitted) and higher.id in waiting(here)


def test_what_is_taken_out_has_a_record_and_can_be_sent_again(here: TestNode) -> None:
    first, second = here.admit(ALICE, 0), here.admit(ALICE, 1)
    assert here.node.mempool.take_out([first.id, "ab" * 32], "because") == 1
    assert record_of(here, first.id) == ("dropped", "because")
    assert waiting(here) == [second.id] and here.node.pool.next_nonce(ALICE.address) == 0
    admit_one(here.node.mempool, first)
    assert here.node.pool.record(first.id) is None and here.node.pool.next_nonce(ALICE.address) == 2


# --- what is read ---


def test_a_walk_over_the_mempool_ends_where_it_ended_when_the_last_page_was_read(here: TestNode) -> None:
    first = [here.admit(ALICE, nonce).id for nonce in range(3)]
    found = []
    for page in here.node.pool.by_fee(2):
        found += [entry.id for entry in page]
        here.admit(ALICE, 3 + len(found))  # one after each page, as from a busy client
    assert found[:3] == first and len(found) <= 6


def test_costs_are_read_once_and_are_those_of_every_process(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block makes the sum of a queue unknown, so it is added up again."""
    here = TestNode(redis)
    other, asked = here.build(redis).mempool, []
    here.mine()
    wealth = here.node.chain.account(ALICE.address).balance
    each = wealth // 4

    def send(mempool: Mempool, nonce: int) -> Admitted | NodeError:
        return mempool.admit_many([here.sign(ALICE, nonce, amount=each)])[0]

    for nonce, mempool in enumerate((here.node.mempool, other, here.node.mempool)):
        assert isinstance(send(mempool, nonce), Admitted)
    here.mine(here.sign(ALICE, 0, amount=each))
    entries = PoolStore.entries

    def note(store: PoolStore, ids: Sequence[str]) -> list[Entry]:
        asked.append(len(ids))
        return entries(store, ids)

    monkeypatch.setattr(PoolStore, "entries", note)
    assert isinstance(send(here.node.mempool, 3), Admitted)
    assert sum(asked) == 1, "the other process has admitted one of two"
    here.mine(here.sign(ALICE, 1, amount=each))
    for mempool in (here.node.mempool, other):
        assert refusal(send(mempool, 4)) == "insufficient_funds"
    asked.clear()
    assert refusal(send(here.node.mempool, 4)) == "insufficient_funds" and sum(asked) == 0
