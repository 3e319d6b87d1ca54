"""Ending in time: a process that was told to stop does so, whatever it waits for."""

import _thread
import os
import threading
import time
from collections.abc import Callable

# Seconds from SIGTERM to the end, for a process whose store or broker does not answer: nothing could be put in order.
FORLORN_SECONDS = 0.9
# For one whose store does answer: its last words to it are worth some patience.
ORDERLY_SECONDS = 6.0
# For one job. Whatever it is doing may be broken off at any point: every change is one script.
JOB_SECONDS = 0.8


def end_after(seconds: float) -> None:
    """End this process in so many seconds, in the middle of whatever it does then. May be called in a signal handler.

    Exit code 0: it was told to.
    """

    def end() -> None:
        time.sleep(seconds)
        os._exit(0)

    # Not threading.Thread: its start takes a lock, which the code that the signal interrupted may hold.
    _thread.start_new_thread(end, ())


def end_in_time(answers: Callable[[], bool]) -> None:
    """End this process soon, or later if its store answers and so its farewell makes sense. As `end_after`.

    Args:
        answers: asks the store; may block or raise.
    """
    answered = threading.Event()

    def ask() -> None:
        if answers():
            answered.set()

    def end() -> None:
        time.sleep(FORLORN_SECONDS)
        if answered.is_set():
            time.sleep(ORDERLY_SECONDS - FORLORN_SECONDS)
        os._exit(0)

    _thread.start_new_thread(end, ())
    _thread.start_new_thread(_quietly, (ask,))


def _quietly(ask: Callable[[], None]) -> None:
    try:
        ask()
    except Exception:  # no answer
        return
