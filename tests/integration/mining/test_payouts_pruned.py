"""Payouts of blocks whose bodies are pruned: no work is lost, nothing is paid twice, and nothing is tried for ever."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis

from services.payouts.sharing import Payer
from services.store import packing
from services.store.payouts import Reward
from services.store.schema import UPGRADE_SECONDS
from tests.support.keys import ALICE, BOB, CAROL, DAVE
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
    sealed_block,
    settle,
)  # fmt: skip
from tests.support.said import listen


@pytest.fixture(autouse=True)
def _small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "BLOCKS", 2)


@pytest.fixture
def here(redis: Redis) -> TestNode:
    return make_node(redis)


def prune(here: TestNode, upto: int) -> None:
    """Prune the bodies of all blocks up to a height, at least."""
    chain = here.node.chain
    chain.schema.adopt(here.clock.now(), prunes=True)
    while chain.tip().height < upto + 4:
        pool_block(here)
    here.clock.sleep(UPGRADE_SECONDS + 1)
    while chain.packs.pack_next(1, here.clock.now):
        pass
    while chain.kept_from() <= upto:
        assert chain.prunes.prune_next(1, here.clock.now())


def test_a_block_that_was_pruned_before_any_payer_ran_is_paid_once(here: TestNode) -> None:
    block = sealed_block(here)
    sums = expected(here, block)
    prune(here, 2)
    assert here.node.payouts.remains(block).reward == Reward(ALICE.address, "1")
    assert settle(here, [payer(here), payer(here)]) == 1
    assert paid(here, block) == sums and len(sums) == 2 and counts(here)["paid"] == 1 and keys_of(here) == []
    assert settle(here, [payer(here)]) == 0 and len(list(payments(here))) == 2


def test_a_planned_payout_goes_on_when_its_block_is_pruned(here: TestNode, monkeypatch: pytest.MonkeyPatch) -> None:
    block = sealed_block(here)
    sums = expected(here, block)
    planned(here, monkeypatch, block)
    prune(here, 2)
    assert settle(here, [payer(here)]) == 1 and paid(here, block) == sums and keys_of(here) == []


def test_nothing_is_kept_of_blocks_that_are_not_due(here: TestNode) -> None:
    block = sealed_block(here)
    settle(here, [payer(here)])
    prune(here, 3)
    assert keys_of(here) == [] and here.node.payouts.remains(block).reward is None


def test_what_ends_while_its_block_is_pruned_leaves_nothing(here: TestNode, monkeypatch: pytest.MonkeyPatch) -> None:
    block = sealed_block(here)
    for _ in range(DEPTH):
        pool_block(here)
    scripts = here.node.chain.prunes._scripts
    run: Callable[..., Any] = scripts.run

    def late(name: str, keys: list[str], args: list[Any]) -> Any:
        if name == "prune":
            here.node.payouts.end(block, DEPTH, "nothing")
        return run(name, keys, args)

    monkeypatch.setattr(scripts, "run", late)
    prune(here, 2)
    assert keys_of(here) == [] and counts(here)["nothing"] == 1


def test_what_a_release_without_remains_has_pruned_is_forgotten_and_said_once(
    here: TestNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = listen(monkeypatch, "services.payouts.sharing._log")
    block = sealed_block(here)
    prune(here, 2)
    here.redis.hdel(here.node.chain.keys.payout(block), "reward")
    one = payer(here)
    assert one.run() == 1 and one.run() == 0
    assert counts(here)["forgotten"] == 1 and here.node.payouts.due(99) == [] and keys_of(here) == []
    assert [line["outcome"] for line in said] == ["forgotten"] and "QUARRY_KEEP" in said[0]["reason"]
    assert list(payments(here)) == []


def test_a_reward_of_another_address_is_looked_at_once_by_each_process(
    here: TestNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until its key is set again, which takes another process."""
    block = sealed_block(here)
    sums = expected(here, block)
    prune(here, 2)
    other, looks = Payer(here.node, DAVE, DEPTH), []
    reward = other._reward
    monkeypatch.setattr(other, "_reward", lambda block: (looks.append(block), reward(block))[1])
    for _ in range(5):
        other.run()
        pool_block(here)
    assert looks == [block] and here.node.payouts.due(99) == [(2, block)]
    assert settle(here, [payer(here)]) == 1 and paid(here, block) == sums


# --- restored from a backup, and pruned before the payer of the restored node came to it ---


def test_what_the_node_of_before_has_paid_in_pruned_blocks_is_not_paid_again(
    here: TestNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other of two payments is signed, and a stranger's transaction is none of them."""
    block = sealed_block(here)
    sums = expected(here, block)
    backup = back_up(here)
    planned(here, monkeypatch, block)
    plan = here.node.payouts.plan(block)
    assert plan is not None and len(plan.payments) == 2
    here.mine(
        here.node.rules.read_request(plan.payments[0].fields),
        here.sign(DAVE, 0, recipient=plan.payments[1].fields["recipient"], data=f"quarry payout {block}"),
    )
    made = restore(backup, here)
    follow(made, blocks_of(here))
    prune(made, made.node.chain.tip().height)
    kept = made.node.payouts.remains(block).payments
    assert [fields["signature"] for fields in kept.values()] == [plan.payments[0].fields["signature"]]
    for _ in range(3 * DEPTH):
        pool_block(made)
    assert settle(made, [payer(made)], 4 * DEPTH) == 1 and counts(made)["paid"] == 1
    mine = [item for item in payments_above(made) if item["sender"] == ALICE.address]
    assert [(item["recipient"], item["data"]) for item in mine] == [
        (plan.payments[1].fields["recipient"], f"quarry payout {block}")
    ]
    paid_, _ = (made.node.payouts.payees([key.address])[key.address] for key in (BOB, CAROL))
    assert paid_.paid == sums[BOB.address]


def payments_above(here: TestNode) -> list[dict[str, Any]]:
    """All transfers in the blocks that are kept."""
    chain = here.node.chain
    texts = chain.stream(chain.kept_from(), chain.tip().height)
    return [item for text in texts for item in json.loads(text)["transactions"][1:]]


def test_a_payer_reads_what_is_kept_and_what_was_pruned(here: TestNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first payment is pruned, the second one is not."""
    block = sealed_block(here)
    backup = back_up(here)
    planned(here, monkeypatch, block)
    plan = here.node.payouts.plan(block)
    assert plan is not None
    for payment in plan.payments:
        here.mine(here.node.rules.read_request(payment.fields))
    made = restore(backup, here)
    follow(made, blocks_of(here))
    prune(made, made.node.chain.tip().height - 1)
    assert len(made.node.payouts.remains(block).payments) == 1
    settle(made, [payer(made)], 4 * DEPTH)
    assert counts(made)["paid"] == 1 and made.node.payouts.due(99) == []
    assert not [item for item in payments_above(made)[1:] if item["sender"] == ALICE.address]


def test_what_was_paid_in_blocks_pruned_by_a_release_without_remains_is_not_guessed(
    here: TestNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another transaction has taken a nonce of the plan: whether it was a payment cannot be known."""
    said = listen(monkeypatch, "services.payouts.sharing._log")
    block = sealed_block(here)
    planned(here, monkeypatch, block)
    made = restore(back_up(here), here)
    nonce = made.node.chain.account(ALICE.address).nonce
    made.mine(*(made.sign(ALICE, nonce + i) for i in range(2)))
    prune(made, made.node.chain.tip().height)
    made.redis.hdel(made.node.chain.keys.payout(block), "reward")
    one = payer(made)
    assert settle(made, [one], 4 * DEPTH) == 0 and made.node.payouts.due(99) == [(2, block)]
    assert any("was pruned" in line["reason"] for line in said if line["event"] == "payout_waits")
    assert not [item for item in payments_above(made) if item["sender"] == ALICE.address]


def test_a_restored_block_is_not_detached_while_the_chain_is_fetched(here: TestNode) -> None:
    """A restored node that first meets a peer with a shorter chain of its own keeps what is due."""
    block = sealed_block(here)
    sums = expected(here, block)
    for _ in range(DEPTH):
        pool_block(here)
    backup = back_up(here)
    made = restore(backup, here, blocks=[])
    for _ in range(3 * DEPTH):
        made.mine(recipient=DAVE.address)
        payer(made).run()
    assert made.node.payouts.due(99) == [(2, block)]
    for _ in range(2 * DEPTH):
        pool_block(here)
    branch = made.node.reorganiser.begin(1)
    for text in blocks_of(here):
        made.node.reorganiser.add(branch, made.node.rules.read_block(json.loads(text)))
    made.node.reorganiser.swap(branch)
    assert settle(made, [payer(made)], 4 * DEPTH) == 1
    assert paid(made, block) == sums and counts(made)["paid"] == 1
