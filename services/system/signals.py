"""Signals during a step that an exception must not cut short."""

import contextlib
import signal
import threading
from collections.abc import Iterator

# Those that programs of ours turn into KeyboardInterrupt.
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Let interrupts that come inside act at the end, such as while a process is started and its pid is noted.

    Only the main thread runs signal handlers, so in other threads there is nothing to hold back. Child processes do not
    inherit it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    with contextlib.ExitStack() as stack:
        stack.callback(_raise_all, came)
        for number in _INTERRUPTS:
            before = signal.getsignal(number)
            if callable(before):
                stack.callback(signal.signal, number, before)
                signal.signal(number, lambda which, _: came.append(which))
        yield


def _raise_all(numbers: list[int]) -> None:
    for number in numbers:
        signal.raise_signal(number)
