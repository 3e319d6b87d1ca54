"""How often something may be done that strangers can cause: so many times a second, and the rest is counted."""

import threading
import time
from collections.abc import Callable


class Allowance:
    """At most `most` times in a second, of each process. Safe to use from several threads.

    Args:
        now: seconds of a clock that never goes back.
    """

    def __init__(self, most: int, now: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._now = now
        self._lock = threading.Lock()
        self._began = float("-inf")
        self._taken = 0
        self._left_out = 0

    def take(self) -> int | None:
        """How many were left out since the last that was allowed; None: this one is left out too."""
        with self._lock:
            now = self._now()
            if now - self._began >= 1.0:
                self._began, self._taken = now, 0
            if self._taken >= self._most:
                self._left_out += 1
                return None
            self._taken += 1
            left_out, self._left_out = self._left_out, 0
            return left_out
