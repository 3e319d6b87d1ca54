"""Ending in time: a process that is told to stop ends within a fixed time, whatever it waits for, or with its input."""

import _thread
import contextlib
import os
import threading
import time
from collections.abc import Callable

# Seconds from SIGTERM to the end of a process whose store or broker does not answer: it cannot deregister.
FORLORN_SECONDS = 0.9
# The same if the store answers, so that it can deregister.
ORDERLY_SECONDS = 6.0
# The same for a job. It may be broken off at any point, since every change is one script.
JOB_SECONDS = 0.8


def end_after(seconds: float) -> None:
    """End this process in so many seconds, with exit code 0, whatever it is doing. Safe in a signal handler."""

    def end() -> None:
        time.sleep(seconds)
        os._exit(0)

    # Not threading.Thread: its start takes a lock, which the interrupted code may hold.
    _thread.start_new_thread(end, ())


def end_in_time(answers: Callable[[], bool]) -> None:
    """As `end_after`: in FORLORN_SECONDS, or in ORDERLY_SECONDS if the store answers.

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


def when_input_ends(act: Callable[[], None]) -> None:
    """Call `act` in a thread, once, at the end of standard input. What is written there before that is not used.

    A program that starts us with a pipe as standard input, and keeps its other end, has us end when it ends, however
    that happens: the kernel closes the pipe.
    """

    def read() -> None:
        with contextlib.suppress(OSError):  # closed before we started, which is an end too
            while os.read(0, 65_536):
                pass
        act()

    threading.Thread(target=read, name="standard input", daemon=True).start()


def _quietly(ask: Callable[[], None]) -> None:
    try:
        ask()
    except Exception:  # no answer
        return
