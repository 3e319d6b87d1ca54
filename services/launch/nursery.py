"""Starts programs by forking a process that has imported everything they need: the nursery's owner.

Python takes 0.3 s of processor time to start and to import a program of a node, and each process then holds its own
copy of that code in memory. A child of the nursery has none of both: it shares the pages of the process it was forked
from. What a nursery is told, and what its child does before it becomes the program, is in `nursery_process`.

What differs from a process that the system started:

- its parent is the nursery. When that ends, in whatever way, the child gets SIGTERM, as children of an ordinary start
  do when their starter ends. The nursery ends with its owner. If it ends alone, its children end too, and nobody can
  tell their exit codes any more; what is started after that is started in the ordinary way;
- the limits, the umask and the seed of `hash()` are those that the nursery has.

Linux only, from 5.3 on. On macOS a process that has loaded system libraries must not fork without replacing its
program, so there, as everywhere, programs are started in the ordinary way.
"""

import json
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from services.launch.children import Child, start_process
from services.launch.nursery_process import ARGUMENT, LARGEST, VARIABLE
from services.system.programs import module_command

log = structlog.get_logger(__name__)


def _can_serve() -> bool:
    """Whether this system can have a nursery."""
    try:  # os.pidfd_open is not in every build of Python for Linux, and not in every kernel
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


AVAILABLE = _can_serve()
# Seconds that the nursery may take for an answer, and for its imports. Where nothing is in its cache, these include the
# compiler of the hash kernel.
_PATIENCE = 90.0
_SILENT = 1.8  # seconds after which a start says that it waits
# The modules that load what the programs of a node need.
LOADED = ("api.preload", "worker.preload")
# Variables that Python, the C library or a package read when they are loaded, which the nursery has done already.
_READ_AT_START = tuple("PYTHON HOME NUMBA_ LC_ LANG LD_ TZ TMPDIR MALLOC_ COVERAGE_ OMP_ OPENBLAS_".split())


def nursery_of_nodes(
    kernel: str = "auto",
    waits: Callable[[float], None] = lambda seconds: None,
    environment: Mapping[str, str] | None = None,
) -> "Nursery":
    """A nursery for API, door, workers and ticker, which imports while its owner goes on.

    Args:
        kernel: the hash kernel that it makes ready, as QUARRY_KERNEL names them.
        waits, environment: see `Nursery`.
    """
    own = {**(os.environ if environment is None else environment), "QUARRY_KERNEL": kernel}
    return Nursery("services.launch.nursery_program", LOADED, own, waits)


class _Lost(Exception):
    """The nursery does not answer, or cannot be used; the text says why."""


class Nursery:
    """A way to start programs (`services.launch.children.Start`). Safe for use from several threads.

    It takes commands of `module_command`, if the variables that Python reads at its start are the nursery's. Others
    are started in the ordinary way, and so is everything if there is no nursery; then one line in the log says so.

    Args:
        module: the nursery's program, which ends in `nursery_process.serve`.
        arguments: of the program, after the socket's number. One more follows, which is room for what `ps` shows.
        environment: all of its own; None: ours.
        waits: is called about every two seconds while a start waits until the nursery has loaded its modules, with the
            seconds that have passed.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        waits: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        environment = os.environ if environment is None else environment
        self._lock = threading.Lock()
        self._read = _read_at_start(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._waits = waits
        self._loaded = False
        self._channel = self._open(module, arguments, environment)

    def _open(self, module: str, arguments: Sequence[str], environment: Mapping[str, str]) -> socket.socket | None:
        """Start the nursery. Returns our end of its socket; None: there is no nursery."""
        if not AVAILABLE:
            log.info("nursery_unavailable", reason="this system has no os.pidfd_open: each program starts Python")
            return None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(_PATIENCE)
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [*module_command(module, str(theirs.fileno()), *arguments), ARGUMENT],
                    env={**environment, "_QUARRY_ROOM": VARIABLE},
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,  # a terminal's Ctrl-C is for its owner
                )
            except OSError as error:
                ours.close()
                _say_lost(error.strerror or str(error))
                return None
        return ours

    @property
    def pid(self) -> int | None:
        """The nursery's pid; None if there is none, or it was lost."""
        return None if self._channel is None or self._process is None else self._process.pid

    def __call__(
        self, command: Sequence[str], *, environment: Mapping[str, str], output: int | None, directory: Path | None
    ) -> Child:
        module = _module_of(command)
        if module is None or self._channel is None or _read_at_start(environment) != self._read:
            return start_process(command, environment=environment, output=output, directory=directory)
        request = {
            "start": module,
            "command": list(command),
            "directory": str(directory or os.getcwd()),
            "environment": dict(environment),
        }
        if len(json.dumps(request)) > LARGEST:
            return start_process(command, environment=environment, output=output, directory=directory)
        with open(os.devnull, "rb") as nothing:
            files = [nothing.fileno(), *((1, 2) if output is None else (output, output))]
            try:
                answer = self._ask(request, files)
            except _Lost:
                return start_process(command, environment=environment, output=output, directory=directory)
        if "errno" in answer:
            raise OSError(answer["errno"], os.strerror(answer["errno"]))
        return _Nursling(self, list(command), int(answer["pid"]))

    def code_of(self, pid: int) -> int | None:
        """Reap a child that has ended: its exit code; None if nobody knows it."""
        try:
            code = self._ask({"reap": pid}).get("code")
        except _Lost:
            return None
        return None if code is None else int(code)

    def close(self) -> None:
        """End the nursery, and with it the children that still run, by SIGTERM. Safe to call twice."""
        with self._lock:
            self._let_go()

    def _ask(self, request: Mapping[str, Any], files: Sequence[int] = ()) -> dict[str, Any]:
        """The nursery's answer. Raises `_Lost`."""
        with self._lock:
            if self._channel is None:
                raise _Lost("it has ended")
            try:
                self._await_modules(self._channel)
                socket.send_fds(self._channel, [json.dumps(request).encode()], files)
                answer = self._channel.recv(LARGEST)
                if not answer:
                    raise _Lost("it has ended")
                found: dict[str, Any] = json.loads(answer)
                if "refused" in found:
                    raise _Lost(str(found["refused"]))
            except (OSError, ValueError, _Lost) as error:
                self._lose(str(error))
                raise _Lost(str(error)) from None
            except BaseException:  # an interrupt: the answer to this request would be taken for that to the next one
                self._let_go()
                raise
            return found

    def _await_modules(self, channel: socket.socket) -> None:
        """Wait until the nursery says that it has loaded its modules. Raises `_Lost`."""
        began = time.monotonic()
        while not self._loaded:
            if select.select([channel], [], [], _SILENT)[0]:
                if not channel.recv(LARGEST):
                    raise _Lost("it ended while it loaded its modules")
                self._loaded = True
            elif time.monotonic() - began > _PATIENCE:
                raise _Lost(f"it has not loaded its modules within {_PATIENCE:g} s")
            else:
                self._waits(time.monotonic() - began)

    def _lose(self, reason: str) -> None:
        _say_lost(reason)
        self._let_go()

    def _let_go(self) -> None:
        if self._channel is not None:
            self._channel.close()  # its end of input
            self._channel = None
        if self._process is not None:
            try:
                self._process.wait(2)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None


class _Nursling:
    """A child of the nursery; see `services.launch.children.Child`."""

    def __init__(self, nursery: Nursery, command: list[str], pid: int) -> None:
        self.args = command
        self.pid = pid
        self.returncode: int | None = None
        self._nursery = nursery
        self._lock = threading.Lock()
        # The nursery reaps only what it is told to, so the pid is still this child's.
        try:
            self._descriptor = os.pidfd_open(pid)
        except OSError:  # no descriptor is free
            os.kill(pid, signal.SIGKILL)
            raise

    def has_exited(self) -> bool:
        return self.returncode is not None or self._ended_within(0)

    def poll(self) -> int | None:
        if self.returncode is None and self._ended_within(0):
            self._reap()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not self._ended_within(timeout):
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self._reap()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, sig: int) -> None:
        with self._lock:
            if self.returncode is None:
                signal.pidfd_send_signal(self._descriptor, sig)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ended_within(self, seconds: float | None) -> bool:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(None if seconds is None else max(0.0, seconds) * 1000))

    def _reap(self) -> None:
        with self._lock:
            if self.returncode is None:
                code = self._nursery.code_of(self.pid)
                # The nursery was lost, and its children were told to end.
                self.returncode = -signal.SIGTERM if code is None else code
                os.close(self._descriptor)


def _say_lost(reason: str) -> None:
    log.error("nursery_lost", reason=reason, instead="each program starts Python from now on")


def _read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_READ_AT_START)}


def _module_of(command: Sequence[str]) -> str | None:
    """The module of a command of `module_command`; None: it is another command."""
    return command[3] if len(command) > 3 and list(command[:4]) == module_command(command[3]) else None
