"""Which blocks are withheld."""

import pytest

from lab.strategies import SelfishLowHash
from lab.strategy import Action, Known, View
from tests.unit.lab.strategies.views import block, view

WORK = 1 << 8  # of one block: valid hashes are below 2^248


def found(share: float) -> View:
    """The first own block, with a hash at this share of the valid ones."""
    fork = Known("f" * 64, 10, 10 * WORK, False)
    hash = f"{int(share * (1 << 248)):064x}"
    own = Known(hash, 11, 11 * WORK, True)
    return View(fork, fork, (own,), 0, own)


@pytest.mark.parametrize(("share", "part", "withheld"), [
    (0.1, 0.25, True), (0.24, 0.25, True), (0.26, 0.25, False), (0.9, 0.25, False), (0.6, 0.7, True),
])  # fmt: skip
def test_only_low_hashes_are_withheld(share: float, part: float, withheld: bool) -> None:
    assert SelfishLowHash(part).on_found(found(share)) == Action(publish=0 if withheld else 1)


def test_blocks_on_a_withheld_one_are_withheld_whatever_their_hash() -> None:
    assert SelfishLowHash().on_found(view(own=2, names="1f")) == Action()


def test_it_hears_as_every_selfish_miner() -> None:
    assert SelfishLowHash().on_heard(view(public=11, own=2, heard=block(11))) == Action(publish=2)
    assert SelfishLowHash().on_heard(view(public=11, heard=block(11))).give_up
