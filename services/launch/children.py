"""One child process: what its starter may do with it, and the ordinary way to start one."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

# `die_with_parent` for any program: it runs first and then becomes the program. Not a preexec_fn: Python code between
# fork and exec can deadlock on a lock that another thread held. It costs 9 ms a start. Python ignores SIGPIPE, which
# exec would pass on.
_SHIM = """
import ctypes, os, sys, _signal
parent, signum, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
_signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)
failed = ctypes.CDLL(None).prctl(1, ctypes.c_ulong(signum))
if failed or os.getppid() != parent:
    os._exit(125)
try:
    os.execvp(command[0], command)
except OSError as error:
    sys.exit(f"cannot start {command[0]}: {error.strerror}")
"""


class Child(Protocol):
    """A process that we started, with the methods of `subprocess.Popen`. Its pid is its own until it is reaped."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None:
        """The exit code, once it is reaped; -N if signal N ended it."""
        ...

    def has_exited(self) -> bool:
        """Whether it has ended, without reaping it where the system can tell (macOS: from Python 3.13)."""
        ...

    def poll(self) -> int | None:
        """Reap it if it has ended. Returns `returncode`."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended, and reap it. Raises `subprocess.TimeoutExpired`."""
        ...

    def send_signal(self, sig: int) -> None: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


class Start(Protocol):
    """A way to start a program in a session of its own, with an empty standard input."""

    def __call__(
        self, command: Sequence[str], *, environment: Mapping[str, str], output: int | None, directory: Path | None
    ) -> Child:
        """
        Args:
            environment: all of it.
            output: the descriptor for stdout and stderr; None: ours.
            directory: its working directory; None: ours.

        Raises:
            OSError: the system refused.
        """
        ...


class Started(subprocess.Popen[bytes]):
    """A child that the system started."""

    def has_exited(self) -> bool:
        if self.returncode is None and hasattr(os, "waitid"):
            with contextlib.suppress(ChildProcessError):  # another thread has just reaped it
                return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        return self.poll() is not None


def start_process(
    command: Sequence[str], *, environment: Mapping[str, str], output: int | None, directory: Path | None = None
) -> Child:
    """Start a program as `Start` says. On Linux it gets SIGTERM when the thread that started it ends."""
    shim = [sys.executable, "-I", "-S", "-c", _SHIM, str(os.getpid()), str(int(signal.SIGTERM))]
    return Started(
        [*shim, *command] if sys.platform == "linux" else list(command),
        env=environment,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )
