"""The pacemaker: how long it sleeps, and that nothing ends it."""

import threading
from typing import Any

import pytest

from services.connections.servers import RedisError
from services.errors import LedgerDiffers, NotBegun
from services.settings.table import load
from worker.pacemaker import LOOK_SECONDS, Pacemaker, start_pacemaker

ADDRESS = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


class Modes:
    """Answers each beat with the next item: a wait, or an error."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def beat(self) -> float | None:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        found: float | None = answer
        return found


def pacemaker(*answers: Any) -> Pacemaker:
    modes: Any = Modes(*answers)
    return Pacemaker(modes)


@pytest.mark.parametrize(
    ("wait", "sleep"), [(None, LOOK_SECONDS), (0.05, 0.05), (LOOK_SECONDS, LOOK_SECONDS), (3600.0, LOOK_SECONDS)]
)
def test_it_sleeps_until_the_interval_is_over_or_may_have_changed(wait: float | None, sleep: float) -> None:
    assert pacemaker(wait).tick() == sleep


def test_errors_are_waited_out() -> None:
    one = pacemaker(NotBegun(), RedisError("away"), RedisError("away"), LedgerDiffers("wrong"), ValueError("bug"), 0.1)
    assert [one.tick() for _ in range(6)] == [LOOK_SECONDS] * 5 + [0.1]


def test_it_ends_when_it_is_told_to() -> None:
    stop = threading.Event()
    stop.set()
    pacemaker(0.01).run(stop)


@pytest.mark.parametrize(
    "variables",
    [
        {"SPEC": "network", "REWARD_ADDRESS": ADDRESS},  # its difficulty makes the interval
        {"SPEC": "dev"},  # it does not mine
        {"SPEC": "dev", "BLOCK_TIME": "2"},
    ],
)
def test_there_is_none_where_it_could_do_nothing(variables: dict[str, str]) -> None:
    settings = load({f"QUARRY_{name}": value for name, value in variables.items()})
    assert start_pacemaker(settings, threading.Event()) is None
