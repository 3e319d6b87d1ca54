"""Exercises: not done at first, done by what the steps say, and not by something like it."""

from __future__ import annotations

import pytest

from lab.blocktree import BlockTree
from lab.interface import LabBlock
from lab.page.exercises import EXERCISES, check
from lab.recording import VERSION, Event, Recorder


class Story:
    """A recording that is written step by step."""

    def __init__(self, nodes: int = 4) -> None:
        self.recorder = Recorder()
        self.recorder.note(
            0.0, "begin", recording=VERSION, scenario="up", world="real", seed=1, nodes=nodes, spec={}, parameters={}
        )
        self.time = 0.0
        self.tree = BlockTree(self.recorder, lambda: self.time)
        self.nodes = range(1, nodes + 1)
        self.tree.add(LabBlock("g", "-", 1, 0, None, 0.0, 0.0))
        self.all_move("g")

    def block(self, name: str, parent: str, finder: int = 1, *payments: str) -> None:
        above = self.tree.block(parent)
        assert above is not None
        self.time += 1
        self.tree.add(LabBlock(name, parent, above.height + 1, above.chainwork + 1, finder, self.time, 0.0, payments))

    def branch(self, prefix: str, parent: str, count: int, finder: int = 1) -> str:
        for number in range(count):
            self.block(f"{prefix}{number}", parent, finder)
            parent = f"{prefix}{number}"
        return parent

    def all_move(self, tip: str, nodes: range | list[int] | None = None) -> None:
        for node in nodes or self.nodes:
            self.tree.moved(node, tip)

    def part(self) -> None:
        self.tree.note("groups", groups=[[1, 2], [3, 4]])

    def heal(self) -> None:
        self.tree.note("groups", groups=[[1, 2, 3, 4]])

    def pay(self, id: str) -> None:
        self.tree.note("payment", node=1, id=id, to="shop", amount="1")

    @property
    def events(self) -> list[Event]:
        return self.recorder.events


def done(name: str, story: Story, choice: int | None = None) -> bool:
    return check(name, choice, story.events)[0]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda each: each.name)
def test_no_exercise_is_done_before_anything_happened(exercise) -> None:  # type: ignore[no-untyped-def]
    found, said = check(exercise.name, exercise.answer, Story().events)
    assert not found and said.endswith((".", ")"))
    assert 0 <= exercise.answer < len(exercise.choices)


def test_a_fork_needs_a_partition_and_two_branches() -> None:
    story = Story()
    story.block("a", "g")
    story.block("b", "g", 3)
    story.tree.moved(1, "a")
    story.tree.moved(3, "b")
    assert not done("fork", story), "a fork of slow links is not what was asked"
    story.all_move("a")
    story.part()
    story.block("c", "a")
    story.all_move("c", [1, 2])
    assert not done("fork", story), "one side is only behind"
    story.block("d", "a", 3)
    story.all_move("d", [3, 4])
    assert done("fork", story)
    assert check("fork", 1, story.events)[1].count("You predicted it.") == 1
    assert check("fork", 0, story.events)[1].count("You predicted otherwise.") == 1


def test_an_undone_payment_is_in_no_block_of_the_winning_chain() -> None:
    story = Story()
    story.part()
    story.pay("p")
    story.block("a", "g", 1, "p")
    story.all_move("a", [1, 2])
    story.block("x", "g", 3)
    story.block("y", "x", 3)
    story.all_move("y", [3, 4])
    assert not done("undo", story)
    story.heal()
    story.all_move("y")
    assert done("undo", story)
    story.block("z", "y", 3, "p")
    assert not done("undo", story), "it was mined again"


def test_the_shop_had_its_confirmations() -> None:
    for confirmations, expected in ((1, False), (2, True)):
        story = Story()
        story.pay("p")
        story.block("a", "g", 1, "p")
        tip = story.branch("a", "a", confirmations - 1)
        story.all_move(tip, [1, 2])
        story.all_move(story.branch("x", "g", 4, 3))
        assert done("shop", story) is expected


def test_a_race_over_six_blocks() -> None:
    story = Story()
    story.all_move(story.branch("a", "g", 2), [1])
    story.all_move(story.branch("b", "g", 5, 3), [1])
    assert not done("confirmations", story)
    story.all_move(story.branch("c", "g", 6, 3), [1])
    assert done("confirmations", story)


def test_a_selfish_miner_has_more_of_the_chain_than_of_the_blocks() -> None:
    story = Story()
    story.branch("s", "g", 6, 1)
    tip = story.branch("h", "g", 4, 2)
    for number in range(4):
        story.tree.note("withheld", node=1, hash=f"s{number}")
    assert not done("selfish", story), "too few"
    story.tree.note("withheld", node=1, hash="s4")
    assert done("selfish", story)
    story.branch("t", tip, 3, 2)
    assert not done("selfish", story), "its blocks were in vain"
