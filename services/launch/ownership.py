"""The lock of a data directory: one server at a time, also after the process that started it was killed.

The server itself holds the lock, through a descriptor that it inherits, for as long as it lives. A record beside the
lock names the server and its owner, the process that started it. docs/dependencies.md says why this is not filelock.
"""

import contextlib
import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

from services.system.files import open_private, replace
from services.system.processes import started_at
from shared.errors import NodeError

_log = structlog.get_logger(__name__)

_LOCK = "server.lock"
_STARTING = "starting.lock"  # held while a server is being started
_RECORD = "server.json"  # the last server and its owner; stale if the lock is free

# Seconds that an orphan has to end after SIGTERM, and after SIGKILL.
PATIENCE = 10.0
_KILLED = 5.0
_LOOK = 0.02


class AlreadyRunning(NodeError):
    """Another process uses this data directory."""

    def __init__(self, directory: Path, pid: int | None) -> None:
        by = "a process that cannot be seen from here" if pid is None else f"process {pid}"
        super().__init__(f"The data directory {directory} is in use by {by}: stop it, or choose another directory.")
        self.directory = directory
        self.pid = pid


@dataclass(frozen=True)
class _Process:
    pid: int
    started: str | None

    def lives(self) -> bool:
        return self.started is not None and started_at(self.pid) == self.started


@dataclass(frozen=True)
class _Record:
    owner: _Process
    server: _Process | None  # None: not started yet, or the owner died before that


class Ownership:
    """One data directory's lock and record.

    Args:
        patience: seconds to wait for another process that is starting a server.
    """

    def __init__(self, directory: Path, patience: float) -> None:
        self._directory = directory
        self._patience = patience

    @contextlib.contextmanager
    def only_starter(self) -> Iterator[None]:
        """One start at a time, so that a server that is just being started is not taken for an orphan.

        Raises:
            AlreadyRunning: another process is starting a server, or has started one and lives.
        """
        starting = open_private(self._directory / _STARTING)
        try:
            deadline = time.monotonic() + self._patience
            while not _try_lock(starting):
                record = self._read()
                if record is not None and record.owner.lives():
                    raise AlreadyRunning(self._directory, record.owner.pid)
                if time.monotonic() > deadline:
                    raise AlreadyRunning(self._directory, None)
                time.sleep(_LOOK)
            yield
        finally:
            os.close(starting)

    def claim(self, crashed: int | None) -> int:
        """The directory's lock, as an open descriptor for the server to inherit. An orphan that holds it is ended.

        Args:
            crashed: pid of our own server, if it has ended unasked.

        Raises:
            AlreadyRunning: a server whose owner lives holds it.
        """
        lock = open_private(self._directory / _LOCK)
        try:
            if not _try_lock(lock):
                self._end_orphans(lock, crashed)
        except BaseException:
            os.close(lock)
            raise
        return lock

    def record(self, server: int | None) -> None:
        """Record that we are the owner, and which process is the server."""
        me = _Process(os.getpid(), started_at(os.getpid()))
        record = _Record(me, None if server is None else _Process(server, started_at(server)))
        replace(self._directory / _RECORD, json.dumps(asdict(record)).encode())

    def _end_orphans(self, lock: int, crashed: int | None) -> None:
        record = self._read()
        # A crashed server of ours can leave a child that rewrites the AOF. It is an orphan too.
        recorded = record.server.pid if record is not None and record.server is not None else None
        holders = _holders(self._directory / _LOCK, record)
        if record is None:
            raise AlreadyRunning(self._directory, next(iter(holders), None))
        if record.owner.lives() and (crashed is None or crashed != recorded):
            raise AlreadyRunning(self._directory, record.owner.pid)
        _log.warning("valkey_orphan_found", pids=sorted(holders), owner=record.owner.pid)
        for signum, patience in ((signal.SIGTERM, PATIENCE), (signal.SIGKILL, _KILLED)):
            for pid in _holders(self._directory / _LOCK, record):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signum)
            deadline = time.monotonic() + patience
            while time.monotonic() < deadline:
                if _try_lock(lock):
                    return
                time.sleep(_LOOK)
        raise AlreadyRunning(self._directory, next(iter(_holders(self._directory / _LOCK, record)), None))

    def _read(self) -> _Record | None:
        try:
            found = json.loads((self._directory / _RECORD).read_bytes())
            server = found["server"]
            return _Record(_Process(**found["owner"]), None if server is None else _Process(**server))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None


def _holders(lock: Path, record: _Record | None) -> set[int]:
    """Pids of the other processes that have the lock's file open; without /proc, of the recorded server only."""
    if record is not None and record.server is not None and record.server.lives():
        recorded = {record.server.pid}
    else:
        recorded = set()
    if not os.path.exists("/proc/self/fd"):
        return recorded
    wanted = lock.stat()
    found = set()
    for name in os.listdir("/proc"):
        if not name.isdecimal() or int(name) == os.getpid():
            continue
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            for descriptor in os.listdir(f"/proc/{name}/fd"):
                with contextlib.suppress(OSError):
                    if os.path.samestat(os.stat(f"/proc/{name}/fd/{descriptor}"), wanted):
                        found.add(int(name))
    return found


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
