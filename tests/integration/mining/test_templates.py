"""Templates: the best-paying transactions that fit, in an order that the ledger takes, and always a valid block."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from services.errors import TipMoved
from services.launch.embedded import EmbeddedValkey
from services.mining.templates import MadeTemplate
from shared.chain_spec import ChainSpec
from shared.transaction import Transaction
from tests.support.keys import ALICE, BOB, CAROL, DAVE, KEYS, MINER
from tests.support.nodes import TestNode, make_settings
from tests.support.servers import connect
from tests.support.specs import COIN, make_spec
from tests.support.stored import assert_store_equals_replay


def make(here: TestNode) -> MadeTemplate:
    return here.node.rounds._templates.make(MINER)


def chosen(here: TestNode) -> list[str]:
    """The ids that the next block would hold, after the reward. The block is checked to be valid."""
    template = make(here).template
    block = here.sealed(template)
    here.node.rules.check_header(block.header, here.node.chain.window(here.node.chain.tip()), here.clock.now())
    here.node.rules.check_body(block)
    _, known = here.node.chain.entries(here.node.rules.touched(block.transactions))
    here.node.rules.apply(block, known)
    return [transaction.id for transaction in block.transactions[1:]]


def ids(*transactions: Transaction) -> list[str]:
    return [transaction.id for transaction in transactions]


# --- order ---


def test_the_highest_fee_comes_first_and_equal_fees_as_they_arrived(here: TestNode) -> None:
    low = here.admit(ALICE, 0, fee=1)
    early = here.admit(DAVE, 0, fee=5)
    high = here.admit(CAROL, 0, fee="2")
    late = here.admit(BOB, 0, fee=5)
    assert chosen(here) == ids(high, early, late, low)


def test_a_cheap_predecessor_lets_its_dear_followers_in(here: TestNode) -> None:
    alice = [here.admit(ALICE, nonce, fee=fee) for nonce, fee in enumerate((1, 90, 80))]
    other = here.admit(CAROL, 0, fee=50)
    assert chosen(here) == ids(other, *alice)


def test_a_cheap_predecessor_is_found_on_a_later_page(here: TestNode, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = here.node.pool.by_fee
    monkeypatch.setattr(here.node.pool, "by_fee", lambda: pages(2))
    alice = [here.admit(ALICE, nonce, fee=fee) for nonce, fee in enumerate((1, 90, 80))]
    others = [here.admit(key, 0, fee=50 - number) for number, key in enumerate(KEYS[10:15])]
    assert chosen(here) == ids(*others, *alice)


def test_a_gap_keeps_its_followers_out(here: TestNode) -> None:
    here.admit(ALICE, 1, fee=90)
    first = here.admit(ALICE, 0, fee=1)
    here.admit(ALICE, 3, fee=99)
    assert chosen(here)[0] == first.id
    assert len(chosen(here)) == 2


# --- size and number ---


def sized_spec(max_block_bytes: int) -> ChainSpec:
    return make_spec(max_block_bytes=max_block_bytes)


# Bytes that a template reserves for header and reward, and for the longest separator.
RESERVED = 1024 + 2


@settings(
    max_examples=40,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    limit=st.integers(10_000, 24_000),
    memos=st.lists(st.tuples(st.integers(1, 7000), st.sampled_from("aé𝄞")), min_size=3, max_size=8),
)
def test_a_block_never_has_more_bytes_than_the_spec_allows(
    valkey: EmbeddedValkey, limit: int, memos: list[tuple[int, str]]
) -> None:
    here = TestNode(connect(valkey), make_settings(sized_spec(limit)))
    waiting = []
    for number, (length, letter) in enumerate(memos):
        # Canonical JSON writes é in 6 bytes and 𝄞 in 12: characters are not bytes.
        memo = letter * max(1, length // {"a": 1, "é": 6, "𝄞": 12}[letter])
        waiting.append(here.admit(KEYS[number], 0, fee=100 - number, data=memo))
    while waiting:
        block = here.mine_pool().block  # accepted, so valid
        assert block.size <= limit
        mined = [item.id for item in block.transactions[1:]]
        assert mined == ids(*waiting[: len(mined)])
        assert mined, "every transaction fits an empty block"
        waiting = waiting[len(mined) :]
        if waiting:
            assert block.size + waiting[0].size + RESERVED > limit, "the next would have fitted"


def test_what_stands_between_transactions_counts_too(redis: Redis) -> None:
    limit = 40_000
    here = TestNode(redis, make_settings(make_spec(max_block_bytes=limit), nonces_ahead=200))
    waiting = [here.admit(ALICE, nonce) for nonce in range(120)]
    block = here.mine_pool().block
    mined = len(block.transactions) - 1
    assert 60 < mined < len(waiting)
    assert block.size <= limit < block.size + waiting[mined].size + RESERVED


@pytest.mark.parametrize("places", [1, 2, 5])
def test_the_number_of_transactions_is_exact(redis: Redis, places: int) -> None:
    here = TestNode(redis, make_settings(make_spec(max_block_transactions=places)))
    waiting = [here.admit(ALICE, nonce, fee=nonce) for nonce in range(8)]
    assert chosen(here) == ids(*waiting[: places - 1])
    if places > 1:
        while here.node.pool.totals()[0]:
            here.mine_pool()
        assert_store_equals_replay(here.node, redis)


# --- what the ledger will not take ---


def test_what_became_invalid_is_dropped_with_its_rule_and_blocks_nobody(here: TestNode) -> None:
    spend = {"type": "transfer_from", "owner": ALICE.address, "recipient": DAVE.address}
    here.mine(here.sign(ALICE, 0, type="approve", recipient=CAROL.address, amount="500"))
    broken = here.admit(CAROL, 0, **spend, amount="400", fee=50)
    follower = here.admit(CAROL, 1, fee=60)
    other = here.admit(DAVE, 0, fee=1)
    here.mine(here.sign(ALICE, 1, type="approve", recipient=CAROL.address, amount="399"))

    assert chosen(here) == ids(other)
    assert [(name, error.code) for name, error in make(here).refused] == [(broken.id, "insufficient_allowance")]
    here.mine_pool()
    record = here.node.pool.record(broken.id)
    assert record is not None and record["status"] == "dropped"
    assert record["reason"].startswith("insufficient_allowance: ")
    # The follower waits for the nonce to be used again.
    assert [entry.id for entry in here.node.pool.queue(CAROL.address)] == ids(follower)
    again = here.admit(CAROL, 0, fee=1)
    assert chosen(here) == ids(again, follower)


def test_an_uncovered_queue_loses_only_what_cannot_be_paid(here: TestNode) -> None:
    first = here.admit(ALICE, 1, amount="300")
    second = here.admit(ALICE, 2, amount="300")
    here.mine(here.sign(ALICE, 0, amount="500"))
    here.mine_pool()
    assert here.node.chain.locate(first.id) is not None
    record = here.node.pool.record(second.id)
    assert record is not None and record["reason"].startswith("insufficient_funds: ")
    assert here.node.chain.account(ALICE.address).balance == 200 * COIN


def test_what_the_same_block_makes_possible_is_kept_for_the_next(here: TestNode) -> None:
    """Carol's spending of Alice's coins comes before the payment to Alice that covers it: their fees say so."""
    here.mine(here.sign(ALICE, 0, type="approve", recipient=CAROL.address, amount="900"))
    spending = here.admit(
        CAROL, 0, type="transfer_from", owner=ALICE.address, recipient=DAVE.address, amount="900", fee=9
    )
    here.mine(here.sign(ALICE, 1, amount="500"))
    payment = here.admit(DAVE, 0, recipient=ALICE.address, amount="500", fee=1)
    assert chosen(here) == ids(payment)
    here.mine_pool()
    assert here.node.pool.record(spending.id) is None
    assert chosen(here) == ids(spending)


def test_a_moving_tip_is_noticed(here: TestNode, monkeypatch: pytest.MonkeyPatch) -> None:
    here.admit(ALICE, 0)
    entries = here.node.chain.entries

    def late(keys):  # type: ignore[no-untyped-def] # as the method it stands for
        monkeypatch.undo()
        here.mine()
        return entries(keys)

    monkeypatch.setattr(here.node.chain, "entries", late)
    with pytest.raises(TipMoved):
        make(here)


def test_the_timestamp_follows_the_clock_but_not_below_the_median(here: TestNode) -> None:
    for _ in range(12):
        here.clock.time += 10
        here.mine()
    newest = here.node.chain.tip().timestamp
    here.clock.time -= 55
    assert make(here).template.fields["timestamp"] == newest - 50  # the sixth of the last eleven
    here.mine_pool()
    here.clock.time += 300
    assert make(here).template.fields["timestamp"] == here.clock.now()
