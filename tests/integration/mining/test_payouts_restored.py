"""Payouts after a restore, alone and beside the chain on which the node of before goes on: nothing is paid twice."""

import json

import pytest
from redis import Redis

from services.backup.sealed import BadBackup
from services.peers.book import Peer
from tests.support.keys import ALICE, BOB, CAROL
from tests.support.nodes import TestNode
from tests.support.payouts import (
    DEPTH,
    back_up,
    blocks_of,
    counts,
    expected,
    follow,
    keys_of,
    make_node,
    paid,
    payer,
    payments,
    planned,
    pool_block,
    restore,
    seal,
    sealed_block,
    settle,
    window,
    work,
)  # fmt: skip
from tests.support.said import listen


@pytest.fixture
def here(redis: Redis) -> TestNode:
    return make_node(redis)


def test_vouchers_miners_and_the_window_come_back_as_they_were(here: TestNode) -> None:
    voucher = here.node.leases.vouchers.new("class", code=True)
    here.node.leases.vouchers.new("gone")
    here.node.leases.vouchers.revoke("GONE")
    work(here, voucher.secret, "bob", BOB.address)
    work(here, voucher.code.lower(), "carol", CAROL.address)
    seal(here, voucher.secret, "bob", BOB.address)
    _, token = here.node.operators.new("night shift", ["jobs", "mine"])
    here.node.operators.new("gone", ["peers"])
    here.node.operators.revoke("gone")

    made = restore(back_up(here), here)
    assert made.node.leases.vouchers.all() == here.node.leases.vouchers.all()
    assert len(made.node.leases.vouchers.all()) == 1
    assert made.node.leases.miners(10) == here.node.leases.miners(10)
    assert window(made) == window(here) and window(made)[2] > 0
    assert made.node.operators.all() == here.node.operators.all()
    found = made.node.operators.find(token)
    assert found is not None and found.scopes == ("mine", "jobs")
    assert made.node.payouts.due(99) == here.node.payouts.due(99)
    # Both secrets open it, its miners go on where they were, and it can be revoked.
    before = next(item for item in made.node.leases.miners(10) if item.name == "bob")
    credit = work(made, voucher.code, "bob", BOB.address)
    after = next(item for item in made.node.leases.miners(10) if item.name == "bob")
    assert credit and after.credited == before.credited + credit
    assert made.node.leases.vouchers.revoke("class") and made.node.leases.miners(10) == []
    assert back_up(made).items == [item for item in back_up(made).items if item[0] not in ("voucher", "miner")]


def test_a_backup_that_is_restored_twice_changes_nothing(here: TestNode) -> None:
    """A restore to a server that was interrupted is run again."""
    block = sealed_block(here)
    here.node.operators.new("night shift", ["jobs"])
    backup = back_up(here)
    made = restore(backup, here)
    first = back_up(made).items
    assert restore(backup, made).node.payouts.due(99) == [(2, block)]
    assert back_up(made).items == first == backup.items


def test_what_was_paid_is_known_and_nothing_is_due(here: TestNode) -> None:
    sealed_block(here)
    settle(here, [payer(here)])
    made = restore(back_up(here), here)
    addresses = [BOB.address, CAROL.address, ALICE.address]
    known = here.node.payouts.payees(addresses)
    assert known[BOB.address].paid and known[CAROL.address].payments == 1
    assert made.node.payouts.payees(addresses) == known
    assert made.node.payouts.paid_last(9) == here.node.payouts.paid_last(9)
    assert counts(made)["paid"] == counts(here)["paid"] == 1 and made.node.payouts.due(99) == []
    assert restore(back_up(made), made).node.payouts.due(99) == [] and counts(made)["paid"] == 1


def test_a_payment_that_is_none_is_refused(here: TestNode, monkeypatch: pytest.MonkeyPatch) -> None:
    planned(here, monkeypatch, sealed_block(here))
    backup = back_up(here)
    [item] = [value for kind, value in backup.items if kind == "payout"]
    item["plan"]["payments"][0]["amount"] = "99"
    with pytest.raises(BadBackup, match="A payment of the backup cannot be used"):
        restore(backup, here)


def test_a_planned_payout_is_sent_once_after_the_restore(here: TestNode, monkeypatch: pytest.MonkeyPatch) -> None:
    block = sealed_block(here)
    sums = expected(here, block)
    planned(here, monkeypatch, block)
    made = restore(back_up(here), here)
    assert made.node.payouts.plan(block) == here.node.payouts.plan(block)
    assert {address: found.planned for address, found in made.node.payouts.payees(list(sums)).items()} == sums
    assert settle(made, [payer(made)]) == 1
    assert paid(made, block) == sums and counts(made)["paid"] == 1 and keys_of(made) == keys_of(here)


def beside(here: TestNode, made: TestNode, block: str, sums: dict[str, int]) -> None:
    """The node of before goes on and pays; the restored one follows its chain and is asked after each block."""
    old, new = payer(here), payer(made)
    for _ in range(5 * DEPTH):
        old.run()
        pool_block(here)
        follow(made, blocks_of(here))
        new.run()
        for entry in made.node.pool.queue(ALICE.address):  # as peers are told of them
            here.node.mempool.admit_many([made.node.rules.read_request(json.loads(entry.text))])
    assert paid(here, block) == sums == paid(made, block)
    assert made.node.payouts.due(10**6) == [] and len(list(payments(here))) == len(sums)
    assert settle(made, [new]) == 0 and paid(made, block) == sums


def test_a_planned_payout_is_not_repeated_beside_the_old_chain(here: TestNode, monkeypatch: pytest.MonkeyPatch) -> None:
    block = sealed_block(here)
    sums = expected(here, block)
    planned(here, monkeypatch, block)
    beside(here, restore(back_up(here), here), block, sums)


def test_a_payout_without_a_plan_is_not_repeated_beside_the_old_chain(here: TestNode) -> None:
    block = sealed_block(here)
    beside(here, restore(back_up(here), here), block, expected(here, block))


@pytest.mark.parametrize("has_plan", [True, False])
def test_a_backup_without_the_chain_pays_nobody_twice(
    here: TestNode, monkeypatch: pytest.MonkeyPatch, has_plan: bool
) -> None:
    """The restored node has only the genesis block, and the chain of the node of before comes block by block."""
    block = sealed_block(here)
    sums = expected(here, block)
    if has_plan:
        planned(here, monkeypatch, block)
    made = restore(back_up(here), here, blocks=[])
    assert made.node.chain.tip().height == 1
    new = payer(made)
    for text in blocks_of(here):
        new.run()
        follow(made, [*blocks_of(made), text])
    beside(here, made, block, sums)


def test_a_payout_without_a_plan_waits_and_is_paid_by_the_restored_node_alone(
    here: TestNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = listen(monkeypatch, "services.payouts.sharing._log")
    block = sealed_block(here)
    sums = expected(here, block)
    for _ in range(DEPTH):
        pool_block(here)
    made = restore(back_up(here), here)
    height, new = made.node.chain.tip().height, payer(made)
    for _ in range(2 * DEPTH):
        new.run()
        assert made.node.payouts.plan(block) is None
        pool_block(made)
    [line] = [line for line in said if line["event"] == "payout_waits"]
    assert f"from height {height + 2 * DEPTH} on" in line["reason"]
    assert settle(made, [new]) == 1 and paid(made, block) == sums


def test_while_a_peer_has_a_better_chain_nothing_restored_is_planned(
    here: TestNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that is still fetching the chain does not know what is paid for on it."""
    block = sealed_block(here)
    made = restore(back_up(here), here)
    for _ in range(3 * DEPTH):
        pool_block(made)
    work_ = made.node.chain.tip().chainwork
    new = payer(made)
    peers: list[Peer] = [Peer("http://p", "ok", chainwork=work_ + 1), Peer("http://q", "lying", chainwork=2 * work_)]
    monkeypatch.setattr(new._node.peers, "approved", lambda: peers)
    new.run()
    assert made.node.payouts.plan(block) is None
    del peers[0]
    new.run()
    assert made.node.payouts.plan(block) is not None


def test_payments_that_were_signed_again_after_the_backup_are_found(
    here: TestNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The account's owner uses the nonces of the plan; the node of before signs others, and these are mined."""
    block = sealed_block(here)
    sums = expected(here, block)
    planned(here, monkeypatch, block)
    backup = back_up(here)
    nonce = here.node.chain.account(ALICE.address).nonce
    here.mine(*(here.sign(ALICE, nonce + each, amount=1) for each in range(len(sums))))
    settle(here, [payer(here)], 4 * DEPTH)
    assert paid(here, block) == sums and here.node.payouts.due(10**6) == []
    made = restore(backup, here)
    new = payer(made)
    for text in blocks_of(here)[made.node.chain.tip().height - 1 :]:
        follow(made, [*blocks_of(made), text])
        new.run()
    settle(made, [new])
    assert paid(made, block) == sums and made.node.payouts.due(10**6) == [] and counts(made)["paid"] == 1


def test_what_the_node_of_before_did_not_pay_is_paid(here: TestNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """It died after the first of two payments: only the other one is signed."""
    block = sealed_block(here)
    sums = expected(here, block)
    backup = back_up(here)
    planned(here, monkeypatch, block)
    plan = here.node.payouts.plan(block)
    assert plan is not None and len(plan.payments) == 2
    here.mine(here.node.rules.read_request(plan.payments[0].fields))
    made = restore(backup, here)
    follow(made, blocks_of(here))
    settle(made, [payer(made)], 4 * DEPTH)
    assert paid(made, block) == sums and len(list(payments(made))) == 2 and counts(made)["paid"] == 1
