"""A majority never takes the others' blocks."""

from dataclasses import replace

from lab.strategies import Majority
from lab.strategy import Action
from tests.unit.lab.strategies.views import block, view


def test_it_publishes_when_it_undoes_enough() -> None:
    miner = Majority(depth=2)
    assert miner.on_heard(view(public=11, own=5)) == Action()
    assert miner.on_heard(view(public=12, own=5)) == Action(publish=5)
    assert miner.rewritten == 2


def test_it_does_not_follow_others() -> None:
    miner = Majority()
    seen = view(fork=11, public=11)
    assert miner.on_heard(seen) == Action(onto=seen.block.parent)
    assert miner.on_heard(view(public=12)) == Action()  # it works below the public tip already


def test_it_never_gives_up() -> None:
    miner = Majority(depth=2)
    assert miner.on_heard(view(public=500, own=1)) == Action()
    assert miner.on_found(view(public=12, own=2)) == Action()  # a tie is not longer
    assert miner.on_found(view(public=12, own=3)) == Action(publish=3)


def test_it_does_not_go_below_a_block_that_is_not_in_the_public_branch() -> None:
    """The parent of a block that lost may be in no branch that anybody has: nobody can mine onto it."""
    assert Majority().on_heard(replace(view(fork=11, public=11), block=block(11, name="9"))) == Action()
