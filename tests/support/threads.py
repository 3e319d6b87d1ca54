"""Work in threads beside a test, until it is stopped."""

import threading


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
