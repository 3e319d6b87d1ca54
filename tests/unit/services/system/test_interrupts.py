"""Ctrl-C while code is loaded, and in programs that are started."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from services.system.interrupts import interrupts_end, interrupts_ignored, interrupts_wait


@pytest.mark.parametrize("block", [interrupts_end, interrupts_ignored])
def test_the_handler_is_there_in_the_block_only(block: Callable[[], AbstractContextManager[None]]) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyError), block():
            inside = signal.getsignal(signal.SIGINT)
            assert inside not in (signal.default_int_handler, signal.SIG_DFL)
            assert (inside is signal.SIG_IGN) == (block is interrupts_ignored)
            raise KeyError
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell starts programs in the background
        with block():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_interrupt_waits_for_the_end_of_the_block() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        done = False
        with pytest.raises(KeyboardInterrupt), interrupts_wait():
            signal.raise_signal(signal.SIGINT)
            done = True
        assert done
        with interrupts_wait():
            pass
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_changes_nothing() -> None:
    seen: list[object] = []

    def look() -> None:
        with interrupts_ignored():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join(20)
    assert seen == [signal.getsignal(signal.SIGINT)]


def test_a_program_that_is_started_in_the_block_is_not_interrupted() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    code = "import os, signal; os.kill(os.getpid(), signal.SIGINT); print('goes on')"
    try:
        with interrupts_ignored():
            said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    finally:
        signal.signal(signal.SIGINT, before)
    assert said.stdout == "goes on\n"
