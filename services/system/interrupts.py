"""What Ctrl-C does while a program loads its code or cleans up, and to the processes that it starts."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

INTERRUPTED = 128 + signal.SIGINT  # as shells count


@contextlib.contextmanager
def interrupts_end() -> Iterator[None]:
    """In this block an interrupt ends the process, and prints no traceback: it has nothing to clean up yet.

    The code is that of an interrupted command. Python's default would not end the first process of a container.
    """
    with _interrupts(lambda number, frame: os._exit(INTERRUPTED)):
        yield


@contextlib.contextmanager
def interrupts_ignored() -> Iterator[None]:
    """Ctrl-C does nothing in this block, and nothing ever to the programs that are started in it."""
    with _interrupts(signal.SIG_IGN):
        yield


@contextlib.contextmanager
def interrupts_wait() -> Iterator[None]:
    """An interrupt in this block comes at its end."""
    came = threading.Event()
    with _interrupts(lambda number, frame: came.set()):
        yield
    if came.is_set():
        raise KeyboardInterrupt


@contextlib.contextmanager
def _interrupts(handler: signal.Handlers | Callable[[int, FrameType | None], None]) -> Iterator[None]:
    is_main = threading.current_thread() is threading.main_thread()  # no other may change handlers
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
