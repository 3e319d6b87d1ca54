"""Cleans up after a lab that was killed: a process of its own that outlives it.

A node's programs end with the process that started them. Its Valkey does not, since a node that is started again goes
on with it; and a lab that was killed is never started again. `python -m lab.real.warden` reads lines from the lab, a
JSON list each: `["process", PID, STARTED]` or `["directory", PATH]`. At the end of its input, which comes when the
lab ends in whatever way, it kills what still runs of these processes and removes the directories.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from services.system.processes import started_at
from services.system.programs import module_command

_PATIENCE = 10.0  # seconds until what was killed has ended
_POLL = 0.05


class Warden:
    """The lab's end of it. Safe for several threads."""

    def __init__(self) -> None:
        self._told: list[str] = []
        self._lock = threading.Lock()
        self._process = self._started()

    def look(self) -> None:
        """If somebody has killed it, start another one and tell it the same."""
        with self._lock:
            if self._process.poll() is None:
                return
            self._shut()
            self._process = self._started()
            self._send(self._told)

    def _started(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            module_command("lab.real.warden"),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # Ctrl-C at a terminal is for the lab
        )

    def process(self, pid: int) -> None:
        """End this process after the lab."""
        self._tell(["process", pid, started_at(pid)])

    def directory(self, path: Path) -> None:
        """Remove this directory after the lab."""
        self._tell(["directory", str(path)])

    def close(self) -> None:
        """Have it clean up now, and wait for it."""
        self.look()
        with self._lock:
            self._shut()
            self._process.wait()

    def _tell(self, what: list[object]) -> None:
        line = json.dumps(what) + "\n"
        with self._lock:
            self._told.append(line)
            self._send([line])

    def _send(self, lines: Sequence[str]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it was killed: `look` starts another
            self._process.stdin.writelines(lines)
            self._process.stdin.flush()

    def _shut(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()


def main(lines: IO[str]) -> None:
    """Note what the lab tells, and clean up at its end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the lab's end ends it
    told = [json.loads(line) for line in lines]
    processes = [(int(each[1]), each[2]) for each in told if each[0] == "process" and each[2] is not None]
    for pid, started in processes:
        if started_at(pid) == started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + _PATIENCE
    while any(started_at(pid) == started for pid, started in processes) and time.monotonic() < deadline:
        time.sleep(_POLL)
    for each in told:
        if each[0] == "directory":
            shutil.rmtree(each[1], ignore_errors=True)


if __name__ == "__main__":
    main(sys.stdin)
