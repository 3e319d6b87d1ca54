"""Signals that end `quarry up` and `quarry demo`, and Ctrl-C during a request that must not be broken off."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def interrupt_held() -> Iterator[None]:
    """Let the block end before a first Ctrl-C raises KeyboardInterrupt. A second one raises it at once."""
    if threading.current_thread() is not threading.main_thread():  # which has no signals
        yield
        return
    came = 0

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came += 1
        if came > 1:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt


class Interruption:
    """Handles Ctrl-C, SIGTERM and SIGHUP: inside `may_raise` they raise KeyboardInterrupt, outside they set `event`.

    Once `event` was set by a signal outside, another signal raises KeyboardInterrupt, which cuts the stopping short.
    """

    def __init__(self) -> None:
        self.event = threading.Event()
        self._raises = False
        self._has_raised = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._received)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # it is ignored under nohup
            signal.signal(signal.SIGHUP, self._received)

    def may_raise(self) -> "Interruption":
        """For a block that may wait for minutes without looking at `event`: a signal raises KeyboardInterrupt in it."""
        return self

    def interrupt(self) -> None:
        """As a first signal does; nothing if there was one. May be called in any thread."""
        if not self.event.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    def __enter__(self) -> None:
        self._raises = True
        if self.event.is_set():
            raise KeyboardInterrupt

    def __exit__(self, *_: object) -> None:
        self._raises = False

    def _received(self, number: int, frame: FrameType | None) -> None:
        is_second = self.event.is_set() and not self._has_raised
        # Also where the exception is raised: Python drops one that comes up in a destructor.
        self.event.set()
        self._has_raised = self._raises
        if self._raises or is_second:
            self._raises = False
            raise KeyboardInterrupt
