"""The ordinary node as a strategy."""

from lab.strategies import Honest
from lab.strategy import Action
from tests.unit.lab.strategies.views import view


def test_it_publishes_at_once_and_takes_what_it_hears() -> None:
    assert Honest().on_found(view(own=1)) == Action(publish=1)
    assert Honest().on_heard(view(public=11)) == Action()
