"""Saying on standard error what is being measured, and for how long: a benchmark may be quiet for minutes."""

import sys
import threading
import time
from typing import TextIO

_BEAT = 1.0  # seconds


class Progress:
    """The steps of the benchmarks: each is a line, and at a terminal its seconds are counted while it lasts."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._lock = threading.Lock()
        self._step = ""
        self._began = time.monotonic()
        self._is_counting = False
        self._ended = threading.Event()

    def say(self, step: str) -> None:
        """Print a step, and count its seconds from now on."""
        with self._lock:
            self._finish_line()
            self._step, self._began = step, time.monotonic()
            print(f"… {step}", file=self._stream, flush=True, end="" if self._stream.isatty() else "\n")
            self._is_counting = self._stream.isatty()

    def beat(self) -> None:
        """Show how long the step has taken, if its line is still the last one."""
        with self._lock:
            if self._is_counting:
                seconds = time.monotonic() - self._began
                print(f"\r… {self._step}, {seconds:.0f} s", file=self._stream, flush=True, end="")

    def pause(self) -> None:
        """End the line, since something else is to be printed."""
        with self._lock:
            self._finish_line()

    def __enter__(self) -> "Progress":
        if self._stream.isatty():
            threading.Thread(target=self._run, name="progress", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.pause()

    def _run(self) -> None:
        while not self._ended.wait(_BEAT):
            self.beat()

    def _finish_line(self) -> None:
        if self._is_counting:
            print(file=self._stream, flush=True)
        self._is_counting = False
