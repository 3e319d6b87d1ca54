"""Wires: how long messages take, and which are cut."""

import random

import pytest

from lab.cuts import Cuts
from lab.interface import Conditions, LabError
from lab.simulated.links import HEAD, LOCAL, Wire, Wires


def wire() -> tuple[Wire, list[Conditions]]:
    told: list[Conditions] = []
    return Wire(1, 2, Cuts(2), lambda changed: told.append(changed.conditions)), told


def test_a_message_takes_the_latency_and_some_jitter() -> None:
    line, told = wire()
    chance = random.Random(1)
    assert line.seconds(1000, 0.0, chance) == LOCAL
    line.set(latency=0.4)
    line.set(jitter=0.2)
    taken = [line.seconds(1000, 0.0, chance) for _ in range(200)]
    assert 0.4 + LOCAL <= min(taken) < 0.42 and 0.58 < max(taken) <= 0.6 + LOCAL
    assert told == [Conditions(0.4), Conditions(0.4, 0.2)]


def test_messages_on_a_slow_link_follow_one_another() -> None:
    line, _ = wire()
    chance = random.Random(1)
    line.set(rate=1000)
    size = 1000 - HEAD
    assert [round(line.seconds(size, now, chance) - LOCAL, 6) for now in (0.0, 0.0, 1.5, 10.0)] == [1.0, 2.0, 1.5, 1.0]
    line.set(rate=0)
    assert line.conditions.rate is None
    assert line.seconds(size, 10.0, chance) == LOCAL


@pytest.mark.parametrize("change", [{"latency": -0.1}, {"jitter": float("nan")}, {"rate": float("inf")}])
def test_impossible_conditions_change_nothing(change: dict[str, float]) -> None:
    line, told = wire()
    with pytest.raises(LabError):
        line.set(**change)
    assert line.conditions == Conditions() and told == []


def test_a_partition_cuts_between_groups_and_nowhere_else() -> None:
    told: list[Wire] = []
    wires = Wires(3, told.append)
    ends = [(a, b) for a in (1, 2, 3) for b in (1, 2, 3) if a != b]

    def cut() -> set[tuple[int, int]]:
        return {(a, b) for a, b in ends if (line := wires.get(a, b)) is not None and line.conditions.cut}

    wires.cuts.part([[1], [2, 3]])
    assert cut() == {(1, 2), (2, 1), (1, 3), (3, 1)}
    wires.cuts.part([[1, 2], [3]])
    assert cut() == {(1, 3), (3, 1), (2, 3), (3, 2)}
    wires.cuts.heal()
    assert cut() == set() and told == []
    assert wires.get(1, 1) is None and wires.get(0, 1) is None
