"""Waiting for what another thread or process does."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

INTERVAL = 0.02  # seconds between two looks


def eventually(
    true: Callable[[], T], seconds: float = 20.0, what: str = "what the test waits for", *, every: float = INTERVAL
) -> T:
    """Call `true` until it returns something true, and return that.

    Args:
        seconds: how long to wait. After that the test fails.
        what: what is awaited, for the failure's message.
        every: seconds between two looks; more than INTERVAL where a look costs those who work time.
    """
    deadline = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:g} s"
        time.sleep(every)
    return value


def seconds_until(true: Callable[[], object], seconds: float = 20.0, what: str = "what the test waits for") -> float:
    """Wait as `eventually` does; how many seconds it took."""
    started = time.monotonic()
    eventually(true, seconds, what)
    return time.monotonic() - started
