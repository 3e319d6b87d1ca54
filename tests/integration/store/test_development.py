"""The run and the turn of a development node."""

from tests.support.nodes import TestNode
from tests.support.waiting import eventually


def test_one_has_the_turn(here: TestNode) -> None:
    store = here.node.development
    assert store.take_turn("a", 60) and store.take_turn("a", 60)
    assert not store.take_turn("b", 60)
    store.give_turn("b")  # it has none to give
    assert not store.take_turn("b", 60)
    store.give_turn("a")
    assert store.take_turn("b", 60)


def test_a_turn_ends_by_itself(here: TestNode) -> None:
    store = here.node.development
    assert store.take_turn("a", 0.05)
    eventually(lambda: store.take_turn("b", 60), what="the end of the turn")


def test_a_run_has_the_last_token(here: TestNode) -> None:
    store = here.node.development
    assert store.run() == ""
    store.begin_run("one")
    store.begin_run("two")
    assert store.run() == "two"
