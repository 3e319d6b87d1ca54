"""The command `quarry up`, from its start to its end.

It ends with this process, however that ends: it reads its standard input, a pipe whose other end only we hold, and
stops at the end of it (`--until-eof`).
"""

import atexit
import contextlib
import json
import os
import queue
import shlex
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any

from quarrynode.errors import NodeFailed

STOP_TIMEOUT = 30.0  # seconds from the end of its input to SIGTERM
_KILL_TIMEOUT = 5.0  # seconds from SIGTERM to SIGKILL
_POLL = 0.1
_TAIL = 20  # lines
_TAIL_BYTES = 16_384


class Command:
    """`quarry up --json` and what it started.

    Args:
        command: the command without `up`, such as `("quarry",)`.
        arguments: the options of `up`.
        data_dir: the directory for keys, chain and logs; None: a temporary one, which is removed at the end.
        environment: added to the environment of this process, from which all QUARRY_ variables are removed, so that a
            test does not depend on the settings of the user who runs it.
    """

    def __init__(
        self,
        command: Sequence[str],
        arguments: Sequence[str],
        data_dir: str | os.PathLike[str] | None,
        environment: Mapping[str, str],
    ) -> None:
        self._command = list(command)
        self._arguments = list(arguments)
        self._data_dir = data_dir
        self._environment = dict(environment)
        self._process: subprocess.Popen[str] | None = None
        self._errors: IO[bytes] | None = None
        self._owner = 0  # pid of the process that started it
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()  # the first that it wrote
        self._stack = contextlib.ExitStack()

    @property
    def pid(self) -> int | None:
        """The pid of `quarry up`; None unless it was started."""
        return None if self._process is None else self._process.pid

    def start(self, timeout: float) -> dict[str, Any]:
        """Start it, and wait until the nodes are ready.

        Returns:
            What `quarry up --json` prints.

        Args:
            timeout: seconds.

        Raises:
            NodeFailed: nothing is left running.
        """
        if self._process is not None:
            raise NodeFailed("The node was started already.")
        deadline = time.monotonic() + timeout
        try:
            self._spawn()
            return self._read_record(deadline, timeout)
        except BaseException:
            with contextlib.suppress(NodeFailed):
                self.stop()
            self._stack.close()
            raise

    def stop(self) -> None:
        """End it and wait until it has ended. Safe to call twice, and in a child that was forked: nothing is done.

        Raises:
            NodeFailed: it ended with an exit code that is not 0.
        """
        process = self._process
        if process is None or self._owner != os.getpid():
            return
        atexit.unregister(self._at_exit)
        self._process = None
        try:
            self._end(process)
            if process.returncode > 0:
                raise NodeFailed(f"{self._shown()} ended with exit code {process.returncode}.", self.said())
        finally:
            self._stack.close()

    def said(self) -> list[str]:
        """The last lines that it wrote to standard error."""
        if self._errors is None or self._errors.closed:
            return []
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - _TAIL_BYTES))
        return self._errors.read().decode(errors="replace").splitlines()[-_TAIL:]

    def end(self) -> str:
        """How it ended; "" while it runs."""
        code = None if self._process is None else self._process.poll()
        return "" if code is None else f"{self._shown()} ended with exit code {code}."

    def _spawn(self) -> None:
        program = self._command[0]
        if shutil.which(program, path=self._environment.get("PATH")) is None:
            raise NodeFailed(
                f"The command {program} was not found. Install Quarry, or name the command, such as "
                'command=("/path/to/.venv/bin/quarry",).'
            )
        data_dir = self._data_dir
        if data_dir is None:
            data_dir = self._stack.enter_context(_TemporaryDirectory())
        self._errors = self._stack.enter_context(tempfile.TemporaryFile())
        try:
            process = subprocess.Popen(
                [*self._command, "up", "--json", "--until-eof", "--data-dir", str(data_dir), *self._arguments],
                env=self._variables(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                start_new_session=True,  # a terminal's Ctrl-C is for the tests, which then stop the node in order
            )
        except OSError as error:
            raise NodeFailed(f"The command {program} cannot be started: {error.strerror}.") from None
        self._process, self._owner = process, os.getpid()
        if self._data_dir is None:  # in a directory of the caller's, the next start of a node there ends it
            self._stack.callback(self._end_what_is_left, process, str(data_dir))
        atexit.register(self._at_exit)
        assert process.stdout is not None
        self._lines = queue.SimpleQueue()
        threading.Thread(target=_forward, args=(process.stdout, self._lines), name="quarry up", daemon=True).start()

    def _read_record(self, deadline: float, timeout: float) -> dict[str, Any]:
        process = self._process
        assert process is not None
        try:
            line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise NodeFailed(f"{self._shown()} was not ready within {timeout:g} s.", self.said()) from None
        if not line:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(_POLL, deadline - time.monotonic()))
            raise NodeFailed(f"{self._shown()} did not start (exit code {process.poll()}).", self.said())
        try:
            found = json.loads(line)
            if not found["nodes"]:
                raise ValueError
        except (ValueError, TypeError, KeyError):
            raise NodeFailed(f"{self._shown()} does not print what quarry up --json prints: {line[:200]!r}.") from None
        return dict(found)

    def _end(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.terminate()
            try:
                process.wait(_KILL_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        except BaseException:  # such as a second Ctrl-C
            process.kill()
            process.wait()
            raise

    def _end_what_is_left(self, process: subprocess.Popen[str], data_dir: str) -> None:
        """Have Valkey end, which goes on when `quarry up` is killed."""
        if process.returncode is not None and process.returncode < 0:
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                subprocess.run(
                    [*self._command, "reset", "--yes", "--data-dir", data_dir],
                    env=self._variables(),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    timeout=STOP_TIMEOUT,
                    check=False,
                )

    def _variables(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("QUARRY_")}
        return {**inherited, **self._environment}

    def _at_exit(self) -> None:
        with contextlib.suppress(NodeFailed):
            self.stop()

    def _shown(self) -> str:
        return f"{shlex.join(self._command)} up"


class _TemporaryDirectory:
    """A temporary directory that is removed with all that is in it; what cannot be removed stays."""

    def __enter__(self) -> str:
        self._path = tempfile.mkdtemp(prefix="quarrynode-")
        return self._path

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._path, ignore_errors=True)


def _forward(stream: IO[str], lines: "queue.SimpleQueue[str]") -> None:
    """Pass on the first line, "" at the end of the stream, and read on: a full pipe would stop the command."""
    with stream:
        lines.put(stream.readline())
        while stream.read(65_536):
            pass
