"""What is refused, and for how long."""

import math

from lab.strategies import Censor
from lab.strategy import Action
from tests.unit.lab.strategies.views import block, view

BAD = block(11, payments=("good", "bad"))


def test_unwanted_payments_are_not_taken_and_their_blocks_not_built_on() -> None:
    censor = Censor(lambda payment: payment == "bad")
    assert censor.takes("good") and not censor.takes("bad")
    assert censor.on_heard(view(public=11, heard=block(11, payments=("good",)))) == Action()
    assert censor.on_heard(view(public=11, heard=BAD)) == Action(onto=BAD.parent)
    assert censor.on_found(view(public=11, own=1, names="9")) == Action()  # it would lose the tie
    assert censor.on_found(view(public=11, own=2, names="99")) == Action(publish=2)
    assert censor.on_found(view(own=1)) == Action(publish=1)


def test_patience_ends_or_never_does() -> None:
    for patience, gives_up in ((2, True), (math.inf, False)):
        censor = Censor(lambda payment: payment == "bad", patience)
        censor.on_heard(view(public=11, heard=BAD))
        assert censor.on_heard(view(public=12)) == Action()
        assert censor.on_heard(view(public=13)).give_up is gives_up
