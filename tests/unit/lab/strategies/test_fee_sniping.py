"""Sniping, view by view."""

from lab.strategies import FeeSniper
from lab.strategy import Action
from tests.unit.lab.strategies.views import block, view

FAT = block(11, fees=50)


def sniping() -> FeeSniper:
    sniper = FeeSniper(least=50)
    assert sniper.on_heard(view(public=11, heard=FAT)) == Action(onto=FAT.parent)
    return sniper


def test_only_high_fees_are_sniped() -> None:
    assert FeeSniper(least=51).on_heard(view(public=11, heard=FAT)) == Action()
    sniping()


def test_the_lower_hash_wins_at_once_and_the_higher_one_waits() -> None:
    sniper = sniping()
    assert sniper.on_found(view(public=11, own=1, names="7")) == Action(publish=1)
    assert sniper.won == 1
    sniper = sniping()
    assert sniper.on_found(view(public=11, own=1, names="9")) == Action()
    assert sniper.on_found(view(public=11, own=2, names="99")) == Action(publish=2)


def test_it_gives_up_when_it_falls_behind() -> None:
    sniper = sniping()
    assert sniper.on_heard(view(public=12)).give_up  # two behind
    assert sniper.lost == 1
    assert sniper.on_found(view(own=1)) == Action(publish=1)  # ordinary again
