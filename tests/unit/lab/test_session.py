"""Controls of a lab that works in one thread, in virtual time."""

from __future__ import annotations

import threading

import pytest

from lab import session
from lab.interface import LabError
from lab.session import Pace
from lab.simulated.tree.lab import TreeLab
from services.settings.table import load_spec
from tests.support.waiting import eventually


@pytest.fixture
def pace() -> Pace:
    return Pace(TreeLab(2, load_spec("lab"), 1), 1.0)


def test_a_control_is_done_by_the_labs_thread_and_waited_for(pace: Pace) -> None:
    did: list[str] = []
    asking = threading.Thread(target=lambda: pace.do(lambda: did.append(threading.current_thread().name)))
    asking.start()
    eventually(lambda: pace.beat() or bool(did))  # type: ignore[func-returns-value]
    asking.join(20)
    assert did == [threading.current_thread().name] and not asking.is_alive()


def test_a_control_that_waits_too_long_is_refused_and_not_done_later(
    pace: Pace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_CONTROL_SECONDS", 0.01)
    did: list[int] = []
    with pytest.raises(LabError, match="too busy"):
        pace.do(lambda: did.append(1))
    pace.beat()
    assert not did


def test_what_a_control_raises_is_raised_where_it_was_asked_for(pace: Pace) -> None:
    raised: list[BaseException] = []

    def refuse() -> None:
        raise LabError("no")

    def ask() -> None:
        try:
            pace.do(refuse)
        except LabError as error:
            raised.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    eventually(lambda: pace.beat() or bool(raised))  # type: ignore[func-returns-value]
    asking.join(20)
    assert str(raised[0]) == "no"
