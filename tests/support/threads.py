"""Work in threads beside a test, until it is stopped."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor


class Background:
    """Starts and stops threads. A subclass fills `_threads`; their functions end soon after `_stop` is set."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)


def run_in_loop(scene: Callable[[], Coroutine[None, None, None]]) -> None:
    """
    Run `scene` in an event loop of its own, in a thread of its own, and raise what it raises.

    A test must not call `asyncio.run` itself: once a browser test has run in its process, Playwright's loop counts as
    running in the main thread until the process ends.
    """
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(scene())).result()
