"""The thread that starts, watches and ends the processes of a lab's nodes.

It is one thread for as long as the lab lives: on Linux these processes end when the thread that started them ends.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_TICK = 0.1  # seconds between two looks at the processes

T = TypeVar("T")


class Hands:
    """Does one thing after the other, whoever asks for it."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hands")
        self._rests = threading.Event()

    def do(self, what: Callable[[], T]) -> T:
        """Do it, and wait for it."""
        return self._thread.submit(what).result()

    def tick(self, look: Callable[[], None]) -> None:
        """Call `look` about every tenth of a second, between other work, until `rest`."""

        def look_unless_at_rest() -> None:  # which may have begun while this waited for other work
            if not self._rests.is_set():
                look()

        def run() -> None:
            while not self._rests.wait(_TICK):
                with contextlib.suppress(RuntimeError):  # the lab ends just now
                    waiting: Future[None] = self._thread.submit(look_unless_at_rest)
                    waiting.result()

        threading.Thread(target=run, name="lab tick", daemon=True).start()

    def rest(self) -> None:
        """Look no more: what ends from now on is meant to end."""
        self._rests.set()

    def end(self) -> None:
        """Do what was asked for, and nothing after it."""
        self._rests.set()
        self._thread.shutdown()
