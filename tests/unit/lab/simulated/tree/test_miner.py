"""What a strategy is shown, what its answers do, and answers that cannot be carried out."""

from collections.abc import Callable
from typing import Any

import pytest

from lab.simulated.tree.blocks import Block
from lab.simulated.tree.miner import StrategyError
from lab.simulated.tree.network import Network
from lab.strategies import Honest
from lab.strategy import WAIT, Action, View
from tests.unit.lab.simulated.tree.spec import SPEC


class Scripted:
    """Answers what the test says, and keeps what it was shown."""

    name = "scripted"

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.views: list[View] = []

    def on_found(self, view: View) -> Action:
        self.views.append(view)
        answer = self.answers.pop(0) if self.answers else WAIT
        return answer(view) if callable(answer) else answer

    on_heard = on_found


class Duel:
    """Node 0 with a strategy against node 1, block by block."""

    def __init__(self, *answers: Any) -> None:
        self.strategy = Scripted(*answers)
        self.network = Network([0.0, 0.0], spec=SPEC, strategies={0: self.strategy})
        self.miner, self.other = self.network.nodes

    def find(self, node: int, hash: str) -> Block:
        block = self.network.make(self.network.nodes[node], SPEC.difficulty, hash.ljust(64, "0"))
        self.network.settle()
        return block

    @property
    def seen(self) -> View:
        return self.strategy.views[-1]


def test_a_private_branch_grows_and_is_published_in_part() -> None:
    duel = Duel(WAIT, WAIT, WAIT, WAIT, Action(publish=1), Action(publish=2))
    a, b, c = (duel.find(0, name) for name in "5ab")
    assert [known.hash for known in duel.seen.private] == [a.hash, b.hash, c.hash]
    assert (duel.seen.lead, duel.seen.published, duel.seen.tip.hash) == (3, 0, c.hash)
    assert duel.other.tip is duel.network.blocks[0]
    duel.find(1, "4")
    assert (duel.seen.lead, duel.seen.fork.height, duel.seen.block.mine) == (2, 1, False)
    duel.find(0, "c")
    assert duel.other.tip.hash.startswith("4")  # the published block loses the tie
    duel.find(0, "d")
    # Its published blocks stay in `private` while the public branch is another one.
    assert (duel.seen.published, len(duel.seen.private)) == (1, 5)
    assert duel.other.tip is c


def test_a_published_branch_that_wins_is_public() -> None:
    duel = Duel(WAIT, Action(publish=1), WAIT)
    a = duel.find(0, "5")
    b = duel.find(1, "6")
    assert duel.other.tip is a and duel.miner.public is a and b.published
    duel.find(0, "7")
    assert duel.seen.fork.hash == a.hash and len(duel.seen.private) == 1


def test_giving_up_takes_the_public_tip_and_waiting_follows_it() -> None:
    duel = Duel(WAIT, WAIT, Action(give_up=True), WAIT)
    duel.find(0, "5")
    duel.find(1, "4")
    c = duel.find(1, "6")
    assert duel.miner.tip is c
    d = duel.find(1, "7")
    assert duel.miner.tip is d and duel.seen.lead == 0


def test_mining_onto_an_older_block_lasts_until_it_gives_up() -> None:
    duel = Duel(lambda view: Action(onto=view.block.parent), WAIT, WAIT, Action(give_up=True))
    duel.find(1, "4")
    assert duel.miner.tip is duel.network.blocks[0]
    duel.find(1, "5")
    assert (duel.seen.lead, duel.seen.private, duel.seen.tip) == (-2, (), duel.seen.fork)
    assert duel.miner.tip is duel.network.blocks[0]  # it waits there
    duel.find(0, "6")
    assert (duel.seen.lead, len(duel.seen.private)) == (-1, 1)
    last = duel.find(1, "7")
    assert duel.miner.tip is last


def test_a_branch_below_the_fork_moves_the_fork() -> None:
    duel = Duel()
    duel.find(1, "9")
    duel.find(0, "8")
    rival = Duel()
    for name in "567":
        rival.find(1, name)
    # A branch of three from genesis comes from elsewhere.
    a = duel.network.blocks[0]
    for name in "567":
        parent = a
        a = Block(
            name.ljust(64, "0"), parent, 1000, height=parent.height + 1, chainwork=parent.claim.chainwork + 1000,
            finder=1, found_at=0.0, timestamp=0, published=True,
        )  # fmt: skip
    assert duel.miner.miner is not None
    duel.miner.miner.heard(a)
    assert (duel.seen.fork.height, [known.mine for known in duel.seen.private], duel.seen.published) == (
        1, [False, True], 1,
    )  # fmt: skip


@pytest.mark.parametrize(("answer", "says"), [
    (Action(publish=2), "0 to 1"), (Action(publish=-1), "0 to 1"), (Action(publish=True), "0 to 1"),
    (Action(publish=10**5000), "0 to 1"), (Action(onto="nowhere"), "public branch"), (None, "NoneType"),
    ("publish", "str"), (lambda view: 1 // 0, "ZeroDivisionError in on_found"),
])  # fmt: skip
def test_what_cannot_be_done_is_an_error(answer: Any, says: str) -> None:
    duel = Duel(answer)
    with pytest.raises(StrategyError, match=says):
        duel.find(0, "5")


@pytest.mark.parametrize(
    "stamp", [lambda times: times.latest + 1, lambda times: 0, lambda times: 1.5, lambda times: 1 // 0]
)
def test_impossible_timestamps_are_reported_and_the_true_time_is_used(stamp: Callable[[Any], Any]) -> None:
    class Liar(Honest):
        def timestamp(self, times: Any) -> Any:
            return stamp(times)

    network = Network([0.0, 0.0], spec=SPEC, strategies={0: Liar()})
    network.run(until=100.0)
    errors: list[StrategyError] = []
    network.on_strategy_error = lambda index, error: errors.append(error)
    block = network.make(network.nodes[0], SPEC.difficulty, "5" * 64)
    assert len(errors) == 1 and block.timestamp == SPEC.genesis_timestamp + 100
