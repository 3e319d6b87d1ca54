"""Strategies are other people's code: ask one, and survive what it does.

A strategy that raises, does not answer, or answers what cannot be done is reported once, and its node behaves as an
honest one from then on.
"""

from __future__ import annotations

import ctypes
import signal
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Literal, TypeVar

from lab.strategy import Action, Selects, Strategy, TellsTime, Times, View, publish_all

T = TypeVar("T")

ANSWER_SECONDS = 1.0  # of a processor's time
_WALL = 10.0  # seconds of the clock for each of them: a strategy that sleeps ends too
_LOOKS = 4  # in that time


class NeverAnswered(BaseException):
    """The strategy took too long. Not an `Exception`: a strategy that catches everything must not catch it."""


class TooLate(Exception):
    """A strategy did not answer in time."""


class Guard:
    """Asks one strategy.

    Args:
        report: called once with a sentence if the strategy fails.
    """

    def __init__(self, strategy: Strategy, report: Callable[[str], None]) -> None:
        self.strategy = strategy
        self.name = str(strategy.name)
        self.failed = False
        self._report = report

    def on_found(self, view: View) -> Action:
        return self._ask("on_found", view)

    def on_heard(self, view: View) -> Action:
        return self._ask("on_heard", view)

    def takes(self, transactions: Sequence[str]) -> list[bool]:
        """Whether each payment, named by its id, may enter the miner's blocks. It may, unless the strategy refuses."""
        strategy = self.strategy
        if not self.failed and isinstance(strategy, Selects):
            try:
                return _within(ANSWER_SECONDS, lambda: [bool(strategy.takes(each)) for each in transactions])
            except NeverAnswered:
                self.fail(f"did not answer within {ANSWER_SECONDS:g} s in takes")
            except Exception as error:
                self.fail(f"raised {type(error).__name__}: {error} in takes")
        return [True] * len(transactions)

    def timestamp(self, times: Times) -> int | None:
        """The timestamp that the strategy chooses for the next block; None: it chooses none, or has failed."""
        strategy = self.strategy
        if self.failed or not isinstance(strategy, TellsTime):
            return None
        try:
            return time_of(strategy, times)
        except TooLate as error:
            problem = str(error).removeprefix("it ")
        except Exception as error:
            problem = f"raised {type(error).__name__}: {error}"
        self.fail(f"{problem} in timestamp")
        return None

    def fail(self, what: str) -> None:
        """Report, once, what a strategy has done that none may do, such as "wants the moon"."""
        if not self.failed:
            self.failed = True
            self._report(f"The strategy {self.name} {what}; its node is honest from now on.")

    def _ask(self, event: Literal["on_found", "on_heard"], view: View) -> Action:
        if not self.failed:
            try:
                action = answer_of(self.strategy, event, view)
                if (problem := _problem(action, view)) is None:
                    return action
            except TooLate as error:
                problem = str(error).removeprefix("it ")
            except Exception as error:
                problem = f"raised {type(error).__name__}: {error}"
            self.fail(f"{problem} in {event}")
        return publish_all(view)


def _problem(action: Action, view: View) -> str | None:
    """What cannot be done of an action."""
    if not isinstance(action, Action):
        return f"answered {action!r:.40}, which is no Action"
    if type(action.publish) is not int or not 0 <= action.publish <= len(view.withheld):
        return f"wants to publish {action.publish!r:.40} of {len(view.withheld)} withheld blocks"
    if not isinstance(action.give_up, bool):
        return f"answered give_up={action.give_up!r:.40}"
    if action.onto is not None and not isinstance(action.onto, str):
        return f"wants to mine onto {action.onto!r:.40}"
    return None


def answer_of(strategy: Strategy, event: Literal["on_found", "on_heard"], view: View) -> Action:
    """What a strategy answers, whatever that is.

    Raises:
        TooLate: it did not answer in time. What it raises itself is passed on.
    """
    ask: Callable[[View], Action] = getattr(strategy, event)
    return _in_time(lambda: ask(view))


def time_of(strategy: TellsTime, times: Times) -> int:
    """The timestamp that a strategy chooses for a block: Unix seconds.

    Raises:
        TooLate: it did not answer in time.
        ValueError: it chose one that the rules forbid. What it raises itself is passed on.
    """
    claimed = _in_time(lambda: strategy.timestamp(times))
    if type(claimed) is not int or not times.earliest <= claimed <= times.latest:
        raise ValueError(f"its timestamp is not a whole number from {times.earliest} to {times.latest}")
    return claimed


def is_taken(strategy: Selects, transaction: str) -> bool:
    """Whether a strategy lets a payment into its blocks. Raises `TooLate`, and what it raises itself."""
    return bool(_in_time(lambda: strategy.takes(transaction)))


def _in_time(ask: Callable[[], T]) -> T:
    """The answer. Raises `TooLate`."""
    try:
        return _within(ANSWER_SECONDS, ask)
    except NeverAnswered:
        raise TooLate(f"it did not answer within {ANSWER_SECONDS:g} s") from None


class _Allowance:
    """The time that the calling thread may still take: `seconds` of a processor's time, and `_WALL` times as many of
    the clock.

    A thread may wait for a core for longer than a second where the machine has other work. A strategy that is asked in
    such a moment must not fail: the same seed gives the same run.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._clock = time.pthread_getcpuclockid(threading.get_ident())
        self._used = time.clock_gettime(self._clock)
        self._ends = time.monotonic() + _WALL * seconds

    def is_used_up(self) -> bool:
        """May be asked by any thread, also after the end of the one that it is about."""
        try:
            used = time.clock_gettime(self._clock) - self._used
        except OSError:  # that thread has ended
            return True
        return used >= self._seconds or time.monotonic() >= self._ends


def _within(seconds: float, ask: Callable[[], T]) -> T:
    """The answer. In the main thread an endless loop or a sleep is interrupted; another thread waits for a third."""
    if threading.current_thread() is not threading.main_thread():
        return _in_thread(seconds, ask)

    allowance = _Allowance(seconds)

    def late(number: int, frame: FrameType | None) -> None:
        if allowance.is_used_up():
            raise NeverAnswered

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds / _LOOKS)
    try:
        return ask()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _in_thread(seconds: float, ask: Callable[[], T]) -> T:
    """The answer of a thread. If it takes too long it is interrupted, and left alone: it ends with the process."""
    answers: list[T] = []
    errors: list[Exception] = []

    allowance: list[_Allowance] = []  # the thread's own clock, made by itself

    def work() -> None:
        try:
            allowance.append(_Allowance(seconds))
            answers.append(ask())
        except NeverAnswered:
            pass
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=work, name="strategy", daemon=True)
    thread.start()
    while thread.is_alive() and not (allowance and allowance[0].is_used_up()):
        thread.join(seconds / _LOOKS)
    if errors:
        raise errors[0]
    if not answers:
        interrupt = ctypes.pythonapi.PyThreadState_SetAsyncExc  # it ends loops, not a call that waits for the system
        interrupt(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(NeverAnswered))
        raise NeverAnswered
    return answers[0]
