"""Seconds in which nobody waited for a processor: how slow a program is, without what a busy machine adds to it."""

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from tests.support.processes import children
from tests.support.waiting import eventually


class Stopwatch:
    """Runs from when it is made.

    Linux counts for each thread how long it was ready to run and had no processor. On a machine that has enough of them
    that is next to nothing, and the time is the clock's. Elsewhere it always is.

    Of a process the thread counts that waited longest, as others wait at the same time. Of the thread that looks again
    and again, only its waits since the last look but one count: what happened before would have been seen by that.

    Args:
        pids: the processes that the time depends on, with their children, besides the thread that makes this. This
            process stands for its other threads.
    """

    def __init__(self, *pids: int) -> None:
        self._pids = pids
        self._own = threading.get_native_id()
        self._before = self._waits()
        self._last = dict(self._before)
        self._since_last_look = 0.0
        self._started = time.monotonic()

    def look(self) -> None:
        """Note how long the threads have waited. Of one that has ended only what was noted before is known."""
        now, own = self._waits(), (os.getpid(), self._own)
        self._since_last_look = now.get(own, 0.0) - self._last.get(own, 0.0)
        self._last |= now

    def waited(self) -> float:
        """For how many seconds the processes have waited for a processor, one after the other."""
        before_last_look = self._since_last_look
        self.look()
        longest = defaultdict[int, float](float)
        for (pid, thread), seconds in self._last.items():
            if thread != self._own:
                longest[pid] = max(longest[pid], seconds - self._before.get((pid, thread), 0.0))
        return before_last_look + self._since_last_look + sum(longest.values())

    def passed(self) -> float:
        """Seconds until now by the clock: for bounds from below."""
        return time.monotonic() - self._started

    def seconds(self) -> float:
        """Seconds until now, without those for which a process waited for a processor: for bounds from above."""
        passed = self.passed()
        return max(0.0, passed - self.waited())

    def until(self, true: Callable[[], object], what: str = "what the test waits for") -> float:
        """Wait as `eventually` does, for a minute at most; `seconds` then."""

        def look_and_see() -> object:
            self.look()
            return true()

        eventually(look_and_see, 60, what)
        return self.seconds()

    def _waits(self) -> dict[tuple[int, int], float]:
        """Seconds that each thread has waited in its life, by its process and itself."""
        tasks = [Path(f"/proc/{os.getpid()}/task/{self._own}")]
        for pid in _with_children(self._pids):
            with suppress(OSError):
                tasks += Path(f"/proc/{pid}/task").iterdir()
        found = dict[tuple[int, int], float]()
        for task in tasks:
            with suppress(OSError, ValueError):
                _, waited, _ = (task / "schedstat").read_text().split()
                found[int(task.parts[2]), int(task.name)] = int(waited) / 1e9
        return found


def _with_children(pids: Collection[int]) -> set[int]:
    found, rest = set[int](), list(pids)
    while rest:
        pid = rest.pop()
        found.add(pid)
        if pid != os.getpid():  # whose children are whatever other tests have started, too
            rest += [child for child in children(pid) if child not in found]
    return found
