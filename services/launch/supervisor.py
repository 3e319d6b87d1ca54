"""The child processes of one node: started together, restarted when they die, ended with all their descendants."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from services.launch.children import Child, Start, start_process
from services.system.processes import Process, family
from shared.errors import NodeError

log = structlog.get_logger(__name__)

# Seconds.
FIRST_DELAY = 0.2
LONGEST_DELAY = 5.0
LONG_LIFE = 10.0  # a child that lived this long was healthy, and its next restart is quick again
_TICK = 0.1
_KILL_PATIENCE = 5.0

# A variable that every descendant inherits, so that one is found even after it left the session and lost its parent.
# It is not a setting, so it is not spelled like one.
_MARK = "_QUARRY_CHILD"


class ProgramNotFound(NodeError):
    """A program to supervise does not exist, or may not be executed."""


@dataclass(frozen=True)
class Program:
    """A command to keep running."""

    name: str  # for logs and status; unique within a supervisor
    argv: list[str]
    env: dict[str, str] = field(default_factory=dict)  # added to our own environment
    log: Path | None = None  # stdout and stderr are appended to it; None: they are ours


@dataclass(frozen=True)
class ProgramStatus:
    """A program's state at one moment."""

    name: str
    pid: int | None  # None: it waits for its restart, or was stopped
    restarts: int
    alive: bool


@dataclass
class _Child:
    program: Program
    process: Child | None = None
    mark: str = ""
    restarts: int = 0
    born: float = 0.0
    delay: float = 0.0
    due: float = 0.0
    told: bool = False  # whether it was told to end
    refused: str = ""  # why its last start failed


class Supervisor:
    """Keeps programs running, each in a session of its own, so that a terminal's Ctrl-C reaches only us.

    On Linux a child gets SIGTERM when the thread that started it ends: call `start` and `run` from one thread that
    lives as long as the programs, such as the main one. Elsewhere children survive our `kill -9`.

    `stop` does not find a process that left its session and lost its parent before the call, if there is no /proc or
    it has overwritten its environment.
    """

    def __init__(
        self,
        programs: Iterable[Program],
        *,
        start: Start = start_process,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._children = [_Child(program) for program in programs]
        self._start = start
        self._clock = clock
        self._sleep = sleep
        self._stopping = True
        self._lock = threading.RLock()  # `stop` may come from another thread while `run` restarts a child

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def programs(self) -> list[ProgramStatus]:
        """The programs, in the order in which they were given."""
        return [_status(child) for child in self._children]

    def start(self) -> None:
        """Start every program that does not run, in order; if one cannot start, all are stopped.

        Raises:
            ProgramNotFound: nothing was started.
            OSError: the system refused a process or a log file.
        """
        for child in self._children:
            command = child.program.argv[0]
            if shutil.which(command, path=child.program.env.get("PATH")) is None:
                raise ProgramNotFound(f"The program {child.program.name} cannot be started: {command} was not found.")
        with self._lock:
            self._stopping = False
            try:
                for child in self._children:
                    if child.process is None:
                        self._spawn(child)
            except BaseException:
                self.stop(timeout=0)
                raise

    def run(self, stop: threading.Event) -> None:
        """Restart programs that exit, until `stop` is set. The programs still run then: call `stop()`."""
        while not stop.wait(_TICK):
            self.tick()

    def tick(self) -> None:
        """Look at every program once: reap what has ended, start what has waited for its delay."""
        with self._lock:
            if self._stopping:
                return
            for child in self._children:
                if child.process is not None and child.process.has_exited():
                    self._bury(child, child.process)
                if child.process is None and self._clock() >= child.due:
                    try:
                        self._spawn(child)
                        child.restarts += 1
                        child.refused = ""
                    except OSError as error:  # no process or no disk space is free, which may pass
                        reason = error.strerror or str(error)
                        if reason != child.refused:  # once, not at every try
                            log.error("program_not_started", program=child.program.name, error=reason)
                        child.refused = reason
                        self._back_off(child, lived=0.0)

    def tell(self) -> None:
        """Tell all programs to end, in reverse order, without waiting; `stop` waits. Nothing is restarted after this.

        So the programs of several supervisors can end at the same time.
        """
        with self._lock:
            self._stopping = True
            for child in reversed(self._children):
                if child.process is not None and not child.told and not child.process.has_exited():
                    child.told = True
                    # Not Popen.terminate, which would reap. Only once: a second SIGTERM makes RQ abandon its job.
                    os.kill(child.process.pid, signal.SIGTERM)
                    os.kill(
                        child.process.pid, signal.SIGCONT
                    )  # a stopped process handles SIGTERM only once it continues

    def stop(self, timeout: float = 10.0) -> None:
        """End all programs and their descendants: SIGTERM in reverse order, SIGKILL after `timeout` seconds.

        Safe to call twice. An interrupt ends the wait, and the programs are killed at once.
        """
        with self._lock:
            self._stopping = True
            living = [(child, child.process) for child in self._children if child.process is not None]
            # Also children whose start was interrupted before their pid was noted: they are found by their mark.
            marked = [child for child in self._children if child.mark]
            seen = self._descendants(marked, {})
            known = {pid: process.started for pid, process in seen.items()}
            try:
                self.tell()
                deadline = self._clock() + timeout
                while self._clock() < deadline and not all(process.has_exited() for _, process in living):
                    self._sleep(0.02)
            finally:
                for child, process in living:
                    if not process.has_exited():
                        log.warning("program_killed", program=child.program.name, pid=process.pid, after=timeout)
                self._kill(marked, known)
                for child, process in living:
                    with contextlib.suppress(subprocess.TimeoutExpired):  # stuck in the kernel; already reported
                        process.wait(_KILL_PATIENCE)
                        log.info("program_stopped", program=child.program.name, code=process.returncode)
                    child.process = None

    def _spawn(self, child: _Child) -> None:
        program = child.program
        child.mark = secrets.token_hex(16)
        child.told = False
        with contextlib.ExitStack() as stack:
            output = None
            if program.log is not None:
                output = os.open(program.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
                stack.callback(os.close, output)
            environment = {**os.environ, **program.env, _MARK: child.mark}
            child.process = self._start(program.argv, environment=environment, output=output, directory=None)
        child.born = self._clock()
        log.info("program_started", program=program.name, pid=child.process.pid)

    def _bury(self, child: _Child, process: Child) -> None:
        lived = self._clock() - child.born
        # What it left behind, such as the work horse of a killed worker, must not run beside its successor.
        self._kill([child], {})
        code = process.wait()
        child.process = None
        self._back_off(child, lived)
        log.warning(
            "program_exited", program=child.program.name, pid=process.pid, code=code, restart_in=round(child.delay, 1)
        )

    def _back_off(self, child: _Child, lived: float) -> None:
        longer = FIRST_DELAY if lived >= LONG_LIFE else child.delay * 2
        child.delay = min(max(longer, FIRST_DELAY), LONGEST_DELAY)
        child.due = self._clock() + child.delay

    def _descendants(self, children: Sequence[_Child], known: Mapping[int, str]) -> dict[int, Process]:
        sessions = {child.process.pid for child in children if child.process is not None}
        return family(sessions, [f"{_MARK}={child.mark}".encode() for child in children], known)

    def _kill(self, children: Sequence[_Child], known: Mapping[int, str]) -> None:
        """SIGKILL the children and their descendants until none is seen: one may fork just before it is killed."""
        roots = {child.process.pid for child in children if child.process is not None}
        deadline = self._clock() + _KILL_PATIENCE
        while family := self._descendants(children, known):
            living = [pid for pid, process in family.items() if not process.zombie]
            for pid in living:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            for pid in family.keys() - roots:  # as process 1 of a container, we inherit orphans
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
            if not living:
                return
            if self._clock() >= deadline:
                log.error("processes_not_killed", pids=sorted(living))
                return
            self._sleep(0.01)


def _status(child: _Child) -> ProgramStatus:
    process = child.process
    alive = process is not None and process.returncode is None and not process.has_exited()
    return ProgramStatus(child.program.name, process.pid if process and alive else None, child.restarts, alive)
