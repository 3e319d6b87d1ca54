"""Payments in mempools, blocks and branches."""

import pytest

from lab.simulated.tree.blocks import Block
from lab.simulated.tree.network import Network
from lab.simulated.tree.payments import Payment, Pools
from shared.amounts import COIN
from tests.unit.lab.simulated.tree.spec import make_spec

ALICE, BOB, CAROL = "alice", "bob", "carol"
SPEC = make_spec(allocations={ALICE: 10 * COIN})


def payment(nonce: int, *, to: str = BOB, amount: int = COIN, fee: int = 0) -> Payment:
    return Payment(f"{nonce} {to} {fee}", ALICE, to, amount, fee, nonce)


class Scene:
    """Two nodes without hash rate, which find blocks when told."""

    def __init__(self) -> None:
        self.network = Network([0.0, 0.0], spec=SPEC)
        self.pools: Pools = self.network.keep_accounts([CAROL, "dave"])
        self.hashes = 0

    def pay(self, payment: Payment, index: int = 0) -> bool:
        kept = self.network.pay(index, payment)
        self.network.settle()
        return kept

    def find(self, index: int = 0, first: str = "5") -> Block:
        self.hashes += 1
        block = self.network.make(self.network.nodes[index], SPEC.difficulty, f"{first}{self.hashes:x}".ljust(64, "0"))
        self.network.settle()
        return block

    def cut(self, cut: bool) -> None:
        self.network.links.set_cuts(lambda a, b: cut)
        if not cut:
            self.network.reconnect()
            self.network.settle()


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_payment_reaches_all_mempools_and_a_block_takes_it(scene: Scene) -> None:
    assert scene.pay(payment(0, fee=7))
    assert [list(pool) for pool in scene.pools.waiting] == [["0 bob 7"], ["0 bob 7"]]
    assert scene.network.waiting_fees(1) == 7
    block = scene.find(1)
    assert (block.payments, block.fees) == (("0 bob 7",), 7)
    assert scene.pools.waiting == [{}, {}]
    accounts = scene.pools.accounts(block)
    assert accounts.balances == {ALICE: 9 * COIN - 7, BOB: COIN, "dave": SPEC.reward + 7}
    assert scene.pools.next_nonce(0, block) == 0  # of node 0's wallet, which has paid nothing
    assert not scene.pay(payment(0, to=CAROL))  # its nonce is used


def test_nonces_come_in_sequence_and_the_best_fees_first(scene: Scene) -> None:
    for each in (payment(1, fee=9), payment(0, fee=1), payment(3, fee=50)):
        scene.pay(each)
    assert scene.find().payments == ("0 bob 1", "1 bob 9")
    scene.pay(payment(2))
    assert scene.find().payments == ("2 bob 0", "3 bob 50")


def test_nobody_pays_more_than_it_has(scene: Scene) -> None:
    scene.pay(payment(0, amount=8 * COIN))
    scene.pay(payment(1, amount=8 * COIN))
    assert scene.find().payments == ("0 bob 0",)


def test_of_two_with_one_nonce_the_higher_fee_stays(scene: Scene) -> None:
    assert scene.pay(payment(0, fee=5))
    assert not scene.pay(payment(0, to=CAROL, fee=5))
    assert scene.pay(payment(0, to=CAROL, fee=6))
    assert [list(pool) for pool in scene.pools.waiting] == [["0 carol 6"], ["0 carol 6"]]


def test_an_undone_payment_waits_again(scene: Scene) -> None:
    scene.cut(True)
    scene.pay(payment(0))
    scene.find(0)
    for _ in range(2):
        scene.find(1)
    scene.cut(False)
    assert list(scene.pools.waiting[0]) == ["0 bob 0"]
    assert scene.find(0).payments == ("0 bob 0",)


def test_a_conflicting_payment_in_the_winning_branch_ends_the_other(scene: Scene) -> None:
    scene.cut(True)
    scene.pay(payment(0, to=BOB), 0)
    scene.pay(payment(0, to=CAROL), 1)
    scene.find(0)
    for _ in range(2):
        scene.find(1)
    scene.cut(False)
    tip = scene.network.nodes[0].tip
    assert tip is scene.network.nodes[1].tip
    assert scene.pools.waiting == [{}, {}]
    assert BOB not in scene.pools.accounts(tip).balances
    assert scene.pools.accounts(tip).balances[CAROL] == COIN


def test_a_strategy_may_refuse_payments(scene: Scene) -> None:
    scene.pay(payment(0))
    assert scene.pools.choose(0, scene.network.nodes[0].tip, lambda identifier: False) == ((), 0)
