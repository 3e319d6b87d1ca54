"""When an attempt begins, succeeds and ends."""

from lab.strategies import DoubleSpender
from lab.strategy import Action
from tests.unit.lab.strategies.views import view


def test_the_first_withheld_block_begins_an_attempt() -> None:
    spender = DoubleSpender(2)
    assert spender.on_heard(view(public=11)) == Action() and not spender.ready
    assert spender.on_found(view(own=1)) == Action() and spender.ready
    assert not spender.takes("any payment")


def test_it_waits_for_the_confirmations_however_far_ahead_it_is() -> None:
    spender = DoubleSpender(2)
    assert spender.on_heard(view(public=11, own=3)) == Action()
    assert spender.on_heard(view(public=12, own=3)) == Action(publish=3)
    assert (spender.won, spender.lost, spender.ready) == (1, 0, False)


def test_a_tie_is_not_enough_unless_ties_are_taken_and_the_hash_is_lower() -> None:
    assert DoubleSpender(2).on_heard(view(public=12, own=2, names="77")) == Action()
    assert DoubleSpender(2, ties=True).on_heard(view(public=12, own=2, names="77")) == Action(publish=2)
    assert DoubleSpender(2, ties=True).on_heard(view(public=12, own=2, names="79")) == Action()


def test_it_gives_up_sixty_behind_and_not_before() -> None:
    spender = DoubleSpender(2)
    assert spender.on_heard(view(public=10 + 60, own=1)) == Action()
    assert spender.on_heard(view(public=10 + 61, own=1)).give_up
    assert (spender.won, spender.lost) == (0, 1)
