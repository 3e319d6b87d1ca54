"""What Ctrl-C does while a program of the lab loads its code, and to the processes that it starts."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def interrupts_end() -> Iterator[None]:
    """In this block an interrupt ends the process, and prints no traceback: it has nothing to clean up yet."""
    with _interrupts(signal.SIG_DFL):
        yield


@contextlib.contextmanager
def interrupts_pass() -> Iterator[None]:
    """Programs that are started in this block are not interrupted by Ctrl-C at the terminal, nor are their children."""
    with _interrupts(signal.SIG_IGN):
        yield


@contextlib.contextmanager
def _interrupts(handler: signal.Handlers) -> Iterator[None]:
    is_main = threading.current_thread() is threading.main_thread()  # no other may change handlers
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
