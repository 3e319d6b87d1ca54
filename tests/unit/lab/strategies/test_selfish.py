"""Selfish mining, state by state, as Eyal and Sirer's algorithm 1 has it."""

from dataclasses import replace

from lab.strategies import Selfish
from lab.strategy import Action
from tests.unit.lab.strategies.views import block, view


def test_it_withholds_what_it_finds() -> None:
    assert Selfish().on_found(view(own=1)) == Action()
    assert Selfish().on_found(view(own=3)) == Action()


def test_a_lead_of_one_becomes_a_tie_which_the_next_block_decides() -> None:
    miner = Selfish()
    assert miner.on_heard(view(public=11, own=1, heard=block(11))) == Action(publish=1)
    assert miner.on_found(view(public=11, own=2, published=1)) == Action(publish=1)
    assert miner.on_found(view(own=1)) == Action()  # the tie is over


def test_it_decides_a_tie_also_where_everybody_has_taken_its_block() -> None:
    miner = Selfish()
    miner.on_heard(view(public=11, own=1, heard=block(11)))
    assert miner.on_found(view(fork=11, public=11, own=1)) == Action(publish=1)


def test_a_lead_of_two_is_cashed_in() -> None:
    assert Selfish().on_heard(view(public=11, own=2, heard=block(11))) == Action(publish=2)


def test_a_longer_lead_is_shown_as_far_as_the_public_branch_goes() -> None:
    assert Selfish().on_heard(view(public=11, own=4, heard=block(11))) == Action(publish=1)
    assert Selfish().on_heard(view(public=13, own=6, published=1, heard=block(13))) == Action(publish=2)


def test_it_takes_the_public_branch_when_it_is_behind() -> None:
    assert Selfish().on_heard(view(public=12, own=1, published=1, heard=block(12))).give_up
    assert Selfish().on_heard(view(public=11, heard=block(11))).give_up


def test_a_block_that_lost_against_another_one_changes_nothing() -> None:
    """News may come of a block that others have left already: it does not make the public branch longer."""
    miner = Selfish()
    stale = block(11, name="9")
    assert miner.on_heard(replace(view(public=11, own=3), block=stale)) == Action()
    assert miner.on_heard(view(public=11, own=1, heard=block(11))) == Action(publish=1)
    assert miner.on_heard(replace(view(public=11, own=1, published=1), block=stale)) == Action()
    assert miner.on_found(view(public=11, own=2, published=1)) == Action(publish=1), "the tie was not forgotten"
