"""Strategies that raise, never answer or answer nonsense are reported once, and their node is honest from then on."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import lab.guard
from lab.guard import Guard
from lab.strategy import Action, Known, View

GENESIS = Known("0" * 64, 1, 0, False)
MINE = Known("a" * 64, 2, 1, True)
VIEW = View(public=GENESIS, fork=GENESIS, private=(MINE,), published=0, block=MINE)


class Other:
    """A strategy that does what it is told."""

    name = "other"

    def __init__(self, answer: Callable[[View], Any]) -> None:
        self.answer = answer

    def on_found(self, view: View) -> Any:
        return self.answer(view)

    on_heard = on_found


def forever(view: View) -> None:
    while True:
        try:
            time.sleep(0.01)
        except Exception:
            pass


def raises(view: View) -> None:
    raise KeyError("none")


def test_a_good_answer_is_passed_on() -> None:
    said: list[str] = []
    guard = Guard(Other(lambda view: Action(publish=1)), said.append)
    assert guard.on_found(VIEW) == Action(publish=1) and not said and not guard.failed


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (raises, "raised KeyError"),
        (lambda view: None, "answered None, which is no Action"),
        (lambda view: "publish", "which is no Action"),
        (lambda view: Action(publish=2), "wants to publish 2 of 1 withheld"),
        (lambda view: Action(publish=-1), "wants to publish -1 of 1"),
        (lambda view: Action(publish=True), "wants to publish True"),
        (lambda view: Action(give_up="yes"), "give_up='yes'"),  # type: ignore[arg-type]
        (lambda view: Action(onto=7), "mine onto 7"),  # type: ignore[arg-type]
    ],
)
def test_a_bad_answer_is_reported_once(answer: Callable[[View], Any], said: str) -> None:
    reports: list[str] = []
    guard = Guard(Other(answer), reports.append)
    assert guard.on_found(VIEW) == Action(publish=1)
    assert guard.on_heard(VIEW) == Action(publish=1)
    assert len(reports) == 1 and said in reports[0] and reports[0].endswith("honest from now on.")


def test_a_strategy_that_never_answers_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab.guard, "ANSWER_SECONDS", 0.05)
    reports: list[str] = []
    assert Guard(Other(forever), reports.append).on_found(VIEW) == Action(publish=1)
    assert "did not answer within 0.05 s" in reports[0]


def test_neither_does_one_in_another_thread_hang_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab.guard, "ANSWER_SECONDS", 0.05)
    reports: list[str] = []
    free = threading.Event()
    guard = Guard(Other(lambda view: free.wait(30)), reports.append)
    thread = threading.Thread(target=guard.on_found, args=(VIEW,))
    thread.start()
    thread.join(10)
    free.set()
    assert not thread.is_alive() and "did not answer" in reports[0]


def busy(view: View) -> None:
    while True:
        pass


@pytest.mark.parametrize("aside", [False, True], ids=["main thread", "another thread"])
def test_an_endless_loop_ends_by_its_own_processor_time(monkeypatch: pytest.MonkeyPatch, aside: bool) -> None:
    monkeypatch.setattr(lab.guard, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(lab.guard, "_WALL", 10_000)
    reports: list[str] = []
    stopped = threading.Event()
    spins = (lambda view: [None for _ in iter(stopped.is_set, True)]) if aside else busy
    guard = Guard(Other(spins), reports.append)
    if aside:
        thread = threading.Thread(target=guard.on_found, args=(VIEW,))
        thread.start()
        thread.join(30)
        stopped.set()
        assert not thread.is_alive()
    else:
        guard.on_found(VIEW)
    assert "did not answer" in reports[0]


def test_a_strategy_does_not_fail_because_the_machine_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for a core for longer than it may take one: nobody else can tell a sleep from that."""
    monkeypatch.setattr(lab.guard, "ANSWER_SECONDS", 0.02)
    monkeypatch.setattr(lab.guard, "_WALL", 10_000)
    reports: list[str] = []

    def late(view: View) -> Action:
        time.sleep(0.06)
        return Action()

    assert Guard(Other(late), reports.append).on_found(VIEW) == Action() and not reports
