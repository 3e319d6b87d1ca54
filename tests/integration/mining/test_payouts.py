"""Payouts: the window of shares, one payout for a block, none for detached blocks, none twice however a run ends."""

import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from services.connections.servers import as_store
from services.errors import BadSettings
from services.payouts.sharing import Payer, payer_of
from services.settings.table import load
from services.store import packing
from services.store.searches import Searched
from services.wallet import keyring
from shared.amounts import parse_amount
from shared.keys import KeyPair
from shared.payouts import split
from tests.support.keys import ALICE, BOB, CAROL, DAVE
from tests.support.nodes import TestNode
from tests.support.payouts import (
    DEPTH,
    DIFFICULTY,
    counts,
    keys_of,
    make_node,
    paid,
    payer,
    payments,
    pool_block,
    report,
    reward_of,
    seal,
    secret,
    settle,
    take,
    window,
    work,
)  # fmt: skip
from tests.support.said import listen
from tests.support.searching import claim_of
from tests.support.stored import assert_store_equals_replay
from worker.housekeeper import Housekeeper


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def here(redis: Redis) -> TestNode:
    return make_node(redis)


def sums(here: TestNode, *keys: KeyPair) -> list[tuple[int, int]]:
    """What each address is said to have been paid, and will be."""
    found = here.node.payouts.payees([key.address for key in keys])
    return [(found[key.address].paid, found[key.address].planned) for key in keys]


def on_chain(here: TestNode, *keys: KeyPair) -> list[tuple[int, int]]:
    """The same from the chain, once every payout is over."""
    return [(sum(item.amount for item in payments(here) if item.recipient == key.address), 0) for key in keys]


def consistent(here: TestNode) -> None:
    log, sums, total = window(here)
    by_address: Counter[str] = Counter()
    for hashes, payee in log:
        by_address[payee] += hashes
    assert dict(by_address) == sums and sum(sums.values()) == total <= 2 * DIFFICULTY


# --- the window ---


def test_the_window_has_the_last_hashes_exactly(here: TestNode) -> None:
    voucher, done = secret(here), []
    for number in range(12):
        key = (BOB, CAROL)[number % 2]
        done.append((work(here, voucher, f"m{number % 2}", key.address), key.address))
        consistent(here)
    left, expected = 2 * DIFFICULTY, Counter[str]()
    for credit, address in reversed(done):
        expected[address] += min(credit, left)
        left -= min(credit, left)
    _, sums, total = window(here)
    assert sums == dict(expected) and total == 2 * DIFFICULTY


def test_what_a_lease_brings_goes_to_the_address_that_it_was_asked_for_with(here: TestNode) -> None:
    """Names are chosen by miners and shown to everybody: who has the voucher may use another miner's."""
    voucher = secret(here)
    lease = take(here, voucher, "host", BOB.address)
    take(here, voucher, "host", CAROL.address)
    credit = report(here, voucher, lease)
    assert credit and window(here)[1] == {BOB.address: credit}


def test_hashes_of_the_nodes_own_workers_count_for_the_node(here: TestNode) -> None:
    voucher = secret(here)
    credit = work(here, voucher, "bob", BOB.address)
    round_id = here.node.mining.situation().open_round
    claim = claim_of(here.node, round_id, "w1", 10, Searched())
    assert claim is not None
    here.node.searches.report(round_id, "w1", Searched(claim.version, 300))
    here.node.searches.report(round_id, "w1", Searched(claim.version, 200))
    # Workers only count them. A script of the node takes them over: the next credit, or the end of the round.
    assert window(here) == ([(credit, BOB.address)], {BOB.address: credit}, credit)
    here.node.mining.cancel(round_id, here.clock.now())
    assert window(here) == ([(credit, BOB.address), (500, "-")], {BOB.address: credit, "-": 500}, credit + 500)


def test_without_payouts_nothing_is_kept(redis: Redis) -> None:
    here = make_node(redis, payout_depth=0)
    voucher = secret(here)
    work(here, voucher, "bob", BOB.address)
    seal(here, voucher, "bob", BOB.address)
    assert window(here) == ([], {}, 0) and keys_of(here) == []
    assert not redis.exists(here.node.chain.keys.payouts_due)


def test_switching_payouts_off_forgets_the_window_and_keeps_what_is_due(here: TestNode) -> None:
    voucher = secret(here)
    block, _ = seal(here, voucher, "bob", BOB.address)
    here.settings = replace(here.settings, payout_depth=0)
    Housekeeper(here.build(here.redis), here.redis).tick()
    assert window(here) == ([], {}, 0)
    assert [each for _, each in here.node.payouts.due(10)] == [block]


def test_ten_thousand_shares_are_bounded_and_their_sums_are_right(redis: Redis) -> None:
    """Each report of another address: the log, the addresses of a block and the sums stay within their bounds."""
    here = make_node(redis, payout_window=100)
    here.redis.hset(here.node.chain.keys.payouts, "window", 10**9)
    script = "local P = KEYS[1]\n" + _source("window")
    add = script + "for i = ARGV[1], ARGV[1] + 499 do window_add('a' .. i, 'v m', '2', 10 + i % 7, 2000) end"
    for first in range(1, 10_500, 500):
        redis.eval(add, 1, here.node.chain.keys.prefix, first)
    redis.eval(script + "window_keep(ARGV[1], 2)", 1, here.node.chain.keys.prefix, "ab" * 32)
    log, sums, total = window(here)
    assert len(log) == 10_000 and len(sums) == 10_000 and sum(sums.values()) == total == sum(item for item, _ in log)
    kept = dict(here.node.payouts.shares("ab" * 32))
    assert len(kept) == 1_001 and sum(kept.values()) == total
    assert min(credit for address, credit in kept.items() if address) == 16


def _source(name: str) -> str:
    from services.store.scripts import source

    return source(name) + "\n"


def test_the_oldest_blocks_that_wait_are_forgotten(here: TestNode) -> None:
    script = "local P = KEYS[1]\n" + _source("window") + "for i = 1, 1003 do window_keep('b' .. i, i) end"
    here.redis.eval(script, 1, here.node.chain.keys.prefix)
    due = here.node.payouts.due(10**6)
    assert len(due) == 1_000 and due[0] == (4, "b4") and counts(here)["forgotten"] == 3


# --- a payout ---


def test_a_block_is_paid_once_by_the_shares_that_led_to_it(here: TestNode) -> None:
    voucher = secret(here)
    credits = [
        (BOB.address, work(here, voucher, "bob", BOB.address, 2)),
        (CAROL.address, work(here, voucher, "carol", CAROL.address, 3)),
        ("", work(here, voucher, "nobody", "", 4)),
    ]
    block, credit = seal(here, voucher, "bob", BOB.address)
    credits.append((BOB.address, credit))
    kept = Counter[str]()
    for address, each in credits:
        kept[address] += each
    assert dict(here.node.payouts.shares(block)) == dict(kept)
    work(here, voucher, "carol", CAROL.address)  # later: for the next block
    assert dict(here.node.payouts.shares(block)) == dict(kept)
    reward = parse_amount(here.node.chain.block_object(block)["transactions"][0]["amount"])
    before = {key.address: here.node.chain.account(key.address).balance for key in (ALICE, BOB, CAROL)}

    one = payer(here)
    for _ in range(DEPTH):
        assert one.run() == 0 and list(payments(here)) == []
        pool_block(here)
    sent = split(reward, credits)
    assert sums(here, BOB, CAROL) == [(0, 0), (0, 0)]
    one.run()
    assert sums(here, BOB, CAROL, DAVE) == [(0, sent[BOB.address]), (0, sent[CAROL.address]), (0, 0)]
    assert here.node.payouts.paid_last(9) == [] and here.node.payouts.totals().waiting > 0
    assert settle(here, [one]) == 1
    assert paid(here, block) == sent and len(sent) == 2 and sum(sent.values()) < reward
    for key in (BOB, CAROL):
        assert here.node.chain.account(key.address).balance == before[key.address] + sent[key.address]
    assert here.node.chain.account(ALICE.address).balance == before[ALICE.address] - sum(sent.values())
    assert keys_of(here) == [] and counts(here)["paid"] == 1
    assert sums(here, BOB, CAROL, DAVE) == [(sent[BOB.address], 0), (sent[CAROL.address], 0), (0, 0)]
    assert set(here.node.payouts.paid_last(9)) == {BOB.address, CAROL.address}
    bobs = here.node.payouts.payees([BOB.address])[BOB.address]
    [transaction] = [item for item in payments(here) if item.recipient == BOB.address]
    assert (bobs.payments, bobs.since, bobs.block, bobs.transaction) == (1, 2, block, transaction.id)
    assert settle(here, [payer(here)], 3) == 0 and paid(here, block) == sent
    assert_store_equals_replay(here.node, here.redis)


def test_a_packed_block_is_on_the_chain_and_is_paid(here: TestNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """No payer ran for long: the block that is due has been packed."""
    monkeypatch.setattr(packing, "BLOCKS", 2)
    block, _ = seal(here, secret(here), "bob", BOB.address)
    for _ in range(DEPTH + 2):
        pool_block(here)
    packs = packing.PackStore(as_store(here.redis), here.node.chain.keys)
    while packs.pack_next(DEPTH, here.clock.now):
        pass
    assert packs.totals().height >= 2 and here.node.chain.hash_at(2) == block
    assert not here.node.payouts.end(block, DEPTH, "detached")
    assert settle(here, [payer(here)]) == 1
    assert counts(here)["paid"] == 1 and set(paid(here, block)) == {BOB.address}


def test_a_block_without_payable_shares_is_over_at_once(here: TestNode) -> None:
    voucher = secret(here)
    seal(here, voucher, "nobody", "")
    assert settle(here, [payer(here)]) == 1
    assert counts(here)["nothing"] == 1 and list(payments(here)) == [] and keys_of(here) == []


def test_fees_come_from_the_parts_and_the_operator_keeps_its_own(redis: Redis) -> None:
    here = make_node(redis, min_fee=10**14, payout_kept=2_500)
    voucher = secret(here)
    block, _ = seal(here, voucher, "bob", BOB.address)
    reward = parse_amount(here.node.chain.block_object(block)["transactions"][0]["amount"])
    assert settle(here, [payer(here)]) == 1
    assert paid(here, block) == {BOB.address: reward * 3 // 4 - 10**14}
    assert [item.fee for item in payments(here)] == [10**14]


# --- detached ---


def detach(here: TestNode, fork: int, length: int) -> None:
    rival = TestNode(here.redis, replace(here.settings, node="rival"), clock=here.clock)
    for text in here.node.chain.stream(2, fork):
        rival.node.acceptor.accept(rival.node.rules.read_block(json.loads(text)))
    branch = here.node.reorganiser.begin(fork)
    for _ in range(length):
        here.node.reorganiser.add(branch, rival.mine(recipient=DAVE.address))
    here.node.reorganiser.swap(branch)


def test_a_detached_block_is_never_paid(here: TestNode) -> None:
    voucher = secret(here)
    block, _ = seal(here, voucher, "bob", BOB.address)
    pool_block(here)
    detach(here, 1, 4)
    assert here.node.chain.hash_at(2) != block
    assert settle(here, [payer(here)]) == 1
    assert counts(here)["detached"] == 1 and list(payments(here)) == [] and keys_of(here) == []
    assert sums(here, BOB) == [(0, 0)] and here.node.payouts.paid_last(9) == []


def test_a_block_that_is_detached_between_plan_and_payment_is_not_paid(
    here: TestNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    voucher = secret(here)
    block, _ = seal(here, voucher, "bob", BOB.address)
    for _ in range(DEPTH):
        pool_block(here)
    dying = payer(here)
    kill(monkeypatch, dying, "before sending")
    with pytest.raises(Killed):
        dying.run()
    monkeypatch.undo()
    assert here.node.payouts.plan(block) is not None
    detach(here, 1, 6)
    assert sums(here, BOB)[0][1] > 0  # it was planned
    assert settle(here, [payer(here)]) == 1 and list(payments(here)) == [] and counts(here)["detached"] == 1
    assert sums(here, BOB) == [(0, 0)]


# --- killed, and at once ---

STEPS = ("before the plan", "after the plan", "before sending", "after sending", "before the end", "after the end")


def kill(monkeypatch: pytest.MonkeyPatch, dying: Payer, step: str) -> None:
    """End the process of `dying` at a step."""
    moment, _, what = step.partition(" ")
    name = {"the plan": "write", "the end": "end", "sending": "admit_many"}[what]
    target: Any = dying._node.mempool if name == "admit_many" else dying._store
    original: Callable[..., Any] = getattr(target, name)

    def die(*args: Any, **keywords: Any) -> Any:
        if moment == "after":
            original(*args, **keywords)
        raise Killed

    monkeypatch.setattr(target, name, die)


@pytest.mark.parametrize("step", STEPS)
def test_a_payer_that_is_killed_at_any_step_neither_loses_nor_repeats(
    here: TestNode, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    voucher = secret(here)
    work(here, voucher, "carol", CAROL.address, 3)
    blocks = [seal(here, voucher, "bob", BOB.address)[0] for _ in range(2)]
    expected = {block: split(reward_of(here, block), here.node.payouts.shares(block)) for block in blocks}
    for _ in range(2):  # twice in a row
        dying = payer(here)
        kill(monkeypatch, dying, step)
        with pytest.raises(Killed):
            settle(here, [dying])
        monkeypatch.undo()
    settle(here, [payer(here)])
    assert {block: paid(here, block) for block in blocks} == expected
    assert keys_of(here) == [] and counts(here)["paid"] == 2
    assert len(list(payments(here))) == sum(map(len, expected.values()))
    assert sums(here, BOB, CAROL) == on_chain(here, BOB, CAROL)


def test_two_payers_at_once_pay_once(here: TestNode) -> None:
    voucher = secret(here)
    blocks = [seal(here, voucher, "bob", BOB.address)[0] for _ in range(4)]
    expected = {block: split(reward_of(here, block), here.node.payouts.shares(block)) for block in blocks}
    payers = [payer(here), payer(here)]
    with ThreadPoolExecutor(2) as pool:
        for _ in range(4 * DEPTH):
            list(pool.map(lambda each: each.run(), payers))
            pool_block(here)
    assert {block: paid(here, block) for block in blocks} == expected and counts(here)["paid"] == 4
    assert len(list(payments(here))) == 4 and sums(here, BOB) == on_chain(here, BOB)


def test_a_plan_is_written_only_if_none_was_since_and_its_block_is_deep(here: TestNode) -> None:
    """Two blocks that are planned at once would get the same nonces."""
    voucher, store = secret(here), here.node.payouts
    one, other = (seal(here, voucher, "bob", BOB.address)[0] for _ in range(2))
    revision = store.plans([one, other]).revision
    assert not store.write(one, revision, DEPTH, [], first=True)
    assert not store.end(one, DEPTH, "paid")
    for _ in range(DEPTH):
        pool_block(here)
    assert not store.write(one, revision, DEPTH, [], first=False)
    assert store.write(one, revision, DEPTH, [], first=True)
    assert not store.write(other, revision, DEPTH, [], first=True)
    after = store.plans([one, other]).revision
    assert after != revision and not store.write(one, after, DEPTH, [], first=True)
    assert store.write(other, after, DEPTH, [], first=True)
    assert not store.end(one, DEPTH, "detached") and store.end(one, DEPTH, "paid") and not store.end(one, DEPTH, "paid")
    assert not store.write(one, store.plans([]).revision, DEPTH, [], first=True), "its payout is over"


# --- what was paid ---


def test_sums_beyond_lua_and_the_addresses_that_are_kept(here: TestNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums are added in Python, whatever their size; the addresses that were paid longest ago are forgotten."""
    voucher, store, redis = secret(here), here.node.payouts, here.redis
    prefix = here.node.chain.keys.prefix
    fill = "for i = 1, 10000 do redis.call('ZADD', KEYS[1] .. 'payees', 1, 'a' .. i) end"
    redis.eval(fill, 1, prefix)
    redis.hset(here.node.chain.keys.payee(BOB.address), mapping={"paid": str(10**30), "payments": 7, "since": 1})
    block, _ = seal(here, voucher, "bob", BOB.address)
    assert settle(here, [payer(here)]) == 1
    bobs = store.payees([BOB.address])[BOB.address]
    assert bobs.paid == 10**30 + paid(here, block)[BOB.address] and (bobs.payments, bobs.since) == (8, 1)
    assert redis.zcard(here.node.chain.keys.payees) == 10_000 and counts(here)["payees_forgotten"] == 1
    assert store.paid_last(1) == [BOB.address]


def test_sums_that_were_read_before_another_payout_was_paid_are_read_again(
    here: TestNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    voucher, store = secret(here), here.node.payouts
    seal(here, voucher, "bob", BOB.address)
    read, calls = store._sums, 0

    def late(payments: Any) -> Any:
        nonlocal calls
        calls += 1
        found = read(payments)
        if calls == 1:
            here.redis.hincrby(here.node.chain.keys.payouts, "paid", 1)
        return found

    one = payer(here)
    monkeypatch.setattr(one._store, "_sums", lambda payments: late(payments))
    assert settle(here, [one]) == 1 and calls == 2
    assert sums(here, BOB) == on_chain(here, BOB)


# --- what makes a payout wait ---


def test_a_refused_payment_is_sent_again(here: TestNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """The account is empty but for what waits in the pool; later it has money again."""
    said = listen(monkeypatch, "services.payouts.sharing._log")
    voucher = secret(here)
    block, _ = seal(here, voucher, "bob", BOB.address)
    for _ in range(DEPTH):
        pool_block(here)
    all_of_it = here.node.chain.account(ALICE.address).balance
    nonce = here.node.chain.account(ALICE.address).nonce
    here.mine(here.sign(ALICE, nonce, recipient=CAROL.address, amount=all_of_it))
    one = payer(here)
    assert one.run() == 0 and one.run() == 0
    waits = [item["reason"] for item in said if item["event"] == "payout_waits"]
    assert here.node.pool.totals()[0] == 0 and len(waits) == 1 and "insufficient_funds" in waits[0]
    here.mine(here.sign(CAROL, 0, recipient=ALICE.address, amount=all_of_it))
    assert settle(here, [one]) == 1 and set(paid(here, block)) == {BOB.address}


def test_a_nonce_that_another_transaction_took_is_replaced_when_that_is_final(here: TestNode) -> None:
    voucher = secret(here)
    block, _ = seal(here, voucher, "bob", BOB.address)
    for _ in range(DEPTH):
        pool_block(here)
    sent = here.node.payouts
    one = payer(here)
    one.run()
    plan = sent.plan(block)
    assert plan is not None
    [planned] = plan.payments
    here.mine(here.sign(ALICE, planned.nonce, recipient=CAROL.address))  # the wallet sent something by itself
    for _ in range(DEPTH):
        one.run()
        plan = sent.plan(block)
        assert plan is not None and plan.payments == (planned,) and plan.lost is not None
        pool_block(here)
    assert settle(here, [one, payer(here)]) == 1
    assert set(paid(here, block)) == {BOB.address} and counts(here)["paid"] == 1


def test_many_payments_go_out_as_the_pool_takes_them(redis: Redis) -> None:
    here = make_node(redis, nonces_ahead=8)
    voucher = secret(here)
    block, _ = seal(here, voucher, "bob", BOB.address)
    others = [f"0x{number:040d}" for number in range(10, 40)]
    redis.hset(here.node.chain.keys.payout_shares(block), mapping=dict.fromkeys(others, 50))
    assert settle(here, [payer(here)], 12) == 1
    assert set(paid(here, block)) == {BOB.address, *others}


# --- the key ---


def test_payouts_need_the_key_of_the_reward_address(redis: Redis, tmp_path: Path) -> None:
    here = make_node(redis)
    key = keyring.create(tmp_path / "wallet")
    with pytest.raises(BadSettings, match="QUARRY_PAYOUT_KEY_FILE"):
        payer_of(here.settings, here.node)
    named = replace(here.settings, payout_key_file=tmp_path / "wallet" / "private.key")
    with pytest.raises(BadSettings, match="rewards go to"):
        payer_of(named, here.node)
    with pytest.raises(BadSettings, match="There is no private key"):
        payer_of(replace(named, payout_key_file=tmp_path / "none"), here.node)
    assert payer_of(replace(named, reward_address=key.address), here.node) is not None
    assert payer_of(replace(named, payout_depth=0), here.node) is None


def test_there_are_no_payouts_on_a_chain_of_the_tutorial() -> None:
    with pytest.raises(BadSettings, match="QUARRY_PAYOUT_DEPTH"):
        load({"QUARRY_SPEC": "tutorial", "QUARRY_PAYOUT_DEPTH": "3"})
    found = load({"QUARRY_PAYOUT_DEPTH": "3", "QUARRY_PAYOUT_WINDOW": "4", "QUARRY_PAYOUT_KEPT": "150"})
    assert (found.payout_depth, found.payout_window, found.payout_kept) == (3, 4, 150)


def test_rewards_of_another_address_are_left_alone(here: TestNode, monkeypatch: pytest.MonkeyPatch) -> None:
    said = listen(monkeypatch, "services.payouts.sharing._log")
    voucher = secret(here)
    seal(here, voucher, "bob", BOB.address)
    one = Payer(here.node, DAVE, DEPTH)
    assert settle(here, [one]) == 0 and list(payments(here)) == []
    assert ALICE.address in said[0]["reason"] and len(said) == 1
