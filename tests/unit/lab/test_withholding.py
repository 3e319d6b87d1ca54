"""What a front does with blocks, whichever world it is in: the races that a real node makes possible, one by one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab.strategies import FeeSniper, Selfish
from lab.strategy import WAIT, Action, Known, Times, View, publish_all
from lab.withholding import Withholding
from services.settings.table import load_spec


class World:
    """A tree of blocks, and what a front does in it. Hashes are letters; a lower one wins a tie."""

    def __init__(self, answer: Callable[[View], Action] | object = lambda view: WAIT) -> None:
        self.blocks = {"0": Known("0", 1, 0, False)}
        self.done: list[tuple[str, str]] = []
        self.views: list[View] = []
        self.name = "told"
        self._answer = answer
        strategy = self if callable(answer) else answer
        self.front = Withholding(strategy, self, self.blocks.get, self.blocks["0"])  # type: ignore[arg-type]

    def block(self, hash: str, parent: str, *, mine: bool = False, fees: int = 0) -> Known:
        above = self.blocks[parent]
        self.blocks[hash] = Known(hash, above.height + 1, above.chainwork + 1, mine, fees, parent)
        return self.blocks[hash]

    def others(self, hash: str, parent: str, fees: int = 0) -> None:
        self.front.heard(self.block(hash, parent, fees=fees))

    def node(self, *hashes: str) -> None:
        """The node has these tips, one after the other."""
        for hash in hashes:
            self.front.moved(self.blocks[hash])

    def finds(self, hash: str, parent: str) -> None:
        self.block(hash, parent, mine=True)
        self.node(hash)

    def on_found(self, view: View) -> Action:
        self.views.append(view)
        return self._answer(view)  # type: ignore[no-any-return, operator] # a function here

    on_heard = on_found

    # the surroundings

    def note(self, kind: str, hash: str) -> None:
        self.done.append((kind, hash))

    def announce(self, tip: Known) -> None:
        self.done.append(("announce", tip.hash))

    def show(self, base: Known) -> None:
        self.done.append(("show", base.hash))

    def take_back(self, base: Known) -> None:
        self.done.append(("take back", base.hash))

    def failed(self, sentence: str) -> None:
        self.done.append(("failed", sentence))

    def waiting_fees(self) -> int:
        return 7


def test_a_selfish_miner_withholds_and_shows_its_block_in_a_tie() -> None:
    world = World(Selfish())
    world.finds("b", "0")
    assert world.done == [("withheld", "b")] and world.front.public.hash == "0"
    world.others("a", "0")
    assert world.done[1:] == [("published", "b"), ("announce", "b")]
    assert world.front.public.hash == "a", "the lower hash wins"
    assert world.front.base.hash == "0", "the node is not shown what it would take"


def test_blocks_that_were_found_faster_than_the_news_of_them_are_asked_about_one_by_one() -> None:
    world = World()
    world.block("b", "0", mine=True)
    world.finds("c", "b")
    assert [(view.block.hash, view.lead, view.waiting_fees) for view in world.views] == [("b", 1, 7), ("c", 2, 7)]
    assert world.done == [("withheld", "b"), ("withheld", "c")]
    world.node("c")
    assert len(world.views) == 2


def test_own_blocks_from_before_the_strategy_are_no_news() -> None:
    world = World()
    world.block("b", "0", mine=True)
    old = world.block("c", "b", mine=True)
    world.front = Withholding(world, world, world.blocks.get, old)
    world.finds("d", "c")
    assert [view.block.hash for view in world.views] == ["d"]


def test_a_block_that_the_node_is_about_to_leave_is_not_asked_about() -> None:
    world = World()
    world.others("a", "0")
    assert world.front.base.hash == "a" and world.done == [("show", "a")]
    world.finds("b", "0")  # before it has taken `a`, which is better
    assert len(world.views) == 1
    world.node("a")
    world.finds("c", "a")
    assert world.views[-1].private == (world.blocks["c"],)


def test_a_block_that_wins_against_what_the_node_was_shown_counts() -> None:
    world = World()
    world.others("b", "0")
    world.finds("a", "0")
    assert world.views[-1].block.hash == "a" and world.views[-1].lead == 0


def test_a_node_that_finds_a_block_on_the_branch_it_is_to_leave_is_taken_back_again() -> None:
    world = World(lambda view: Action(give_up=True) if view.block.hash == "b" else WAIT)
    world.finds("c", "0")
    world.finds("d", "c")
    world.others("b", "0")
    assert world.done[-1] == ("take back", "b") and world.front.tip.hash == "b" and world.front.base.hash == "b"
    world.finds("e", "d")
    assert world.done[-2:] == [("take back", "b")] * 2 and world.views[-1].block.hash == "b"
    world.front.remind()
    assert world.done[-3:] == [("take back", "b")] * 3
    world.node("0")
    world.front.remind()
    assert world.done[-1] == ("show", "b")
    world.node("b")
    count = len(world.done)
    world.front.remind()
    assert len(world.done) == count
    world.finds("f", "b")
    assert world.views[-1].block.hash == "f" and world.views[-1].lead == 1


def test_a_node_that_would_take_the_others_branch_finds_a_block_of_its_own_too_late() -> None:
    world = World(lambda view: Action(give_up=True) if view.block.hash == "a" else WAIT)
    world.finds("c", "0")
    world.others("a", "0")
    assert world.done[-1] == ("show", "a")
    world.finds("d", "c")  # its branch is the better one now, and was given up
    assert world.done[-1] == ("take back", "a") and world.views[-1].block.hash == "a"


def test_a_strategy_goes_onto_the_parent_of_the_public_tip() -> None:
    world = World(lambda view: Action(onto="0") if view.block.hash == "a" else WAIT)
    world.others("a", "0")
    assert world.done == [], "the node has not seen the block, and never will"
    world.others("a2", "a")
    assert world.done == [] and world.views[-1].lead == -2
    world.finds("b", "0")
    assert world.views[-1].private == (world.blocks["b"],) and world.views[-1].fork.hash == "0"


def test_a_sniper_that_has_won_follows_the_others_again() -> None:
    world = World(FeeSniper(least=10))
    world.others("c", "0", fees=10)
    world.finds("b", "0")
    assert ("published", "b") in world.done and world.front.public.hash == "b"
    world.others("a", "b")
    assert world.done[-1] == ("show", "a") and world.front.base.hash == "a"


def test_what_is_published_and_worse_is_announced_and_changes_nothing() -> None:
    world = World(lambda view: publish_all(view) if view.block.hash == "a" else WAIT)
    world.finds("b", "0")
    world.others("a", "0")
    assert world.done[-2:] == [("published", "b"), ("announce", "b")] and world.front.public.hash == "a"


def test_the_end_publishes_what_was_withheld_and_nothing_is_asked_any_more() -> None:
    world = World()
    world.finds("b", "0")
    world.finds("c", "b")
    world.front.end()
    assert world.done[2:] == [("published", "b"), ("published", "c"), ("announce", "c"), ("show", "c")]
    world.finds("d", "c")
    world.others("a", "0")
    world.front.end()
    world.front.remind()
    assert len(world.views) == 2 and len(world.done) == 6


def raises(view: View) -> Action:
    raise RuntimeError("oops")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (raises, "raised RuntimeError: oops in on_found"),
        (lambda view: Action(publish=2), "publish 2 of 1"),
        (lambda view: Action(onto="ff"), "no block of the public branch"),
        (lambda view: Action(onto="b"), "no block of the public branch"),
    ],
)
def test_a_strategy_that_fails_is_reported_once_and_its_block_published(
    answer: Callable[[View], Action], said: str
) -> None:
    world = World(answer)
    world.finds("b", "0")
    [(kind, sentence), *rest] = world.done
    assert kind == "failed" and said in sentence and sentence.endswith("its node is honest from now on.")
    assert rest == [("published", "b"), ("announce", "b"), ("show", "b")]
    assert world.front.ended and world.front.public.hash == "b"


def test_payments_are_asked_about_and_a_strategy_that_fails_there_fails() -> None:
    world = World()
    assert world.front.takes(["x", "y"]) == [True, True]
    world.takes = lambda payment: payment != "x"  # type: ignore[attr-defined]
    assert world.front.takes(["x", "y"]) == [False, True]
    world.takes = lambda payment: 1 / 0  # type: ignore[attr-defined]
    assert world.front.takes(["x", "y"]) == [True, True]
    assert world.done[0][0] == "failed" and "in takes" in world.done[0][1] and world.front.ended


def test_a_strategy_may_choose_timestamps_and_one_that_fails_there_fails() -> None:
    times = Times((), 500, 440, 530, 1.0, load_spec("lab"))
    world = World()
    assert world.front.timestamp(times) is None and not world.done
    world.timestamp = lambda times: times.latest  # type: ignore[attr-defined]
    assert world.front.timestamp(times) == 530
    world.timestamp = lambda times: times.latest + 1  # type: ignore[attr-defined]
    assert world.front.timestamp(times) is None and world.front.ended
    assert world.done[0][0] == "failed" and "in timestamp" in world.done[0][1]
    assert world.front.timestamp(times) is None and len([each for each in world.done if each[0] == "failed"]) == 1
