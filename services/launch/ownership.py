"""Who may start a server on a data directory: one at a time, and never beside one that still holds it.

The server itself holds the lock, through a descriptor that it inherits, as long as it lives, whatever becomes of the
process that started it. A record beside it says who that was.
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
_STARTING = "starting.lock"  # held by whoever is about to start one
_RECORD = "server.json"  # the last server and its owner; never removed, since the lock says whether it still holds

# Seconds that an orphan gets to end by itself, and then by force.
PATIENCE = 10.0
_KILLED = 5.0
_LOOK = 0.02


class AlreadyRunning(NodeError):
    """Another process serves this data directory. Stop that one, or choose another directory."""

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
    server: _Process | None  # None: the owner died, or still is, between its claim and the server's first instant


class Ownership:
    """One data directory's lock and record.

    Args:
        patience: seconds to wait for somebody else who is starting a server.
    """

    def __init__(self, directory: Path, patience: float) -> None:
        self._directory = directory
        self._patience = patience

    @contextlib.contextmanager
    def only_starter(self) -> Iterator[None]:
        """One start at a time: nobody takes a process that is just starting a server for an orphan.

        Raises:
            AlreadyRunning: somebody else starts one, or did and lives.
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
        """The directory's lock, as an open descriptor to be handed to the server; an orphan that has it is ended.

        Args:
            crashed: pid of our own server, if it has ended without being told to.

        Raises:
            AlreadyRunning: a server has it whose owner lives.
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
        """Write down that we are the owner, and which process the server is."""
        me = _Process(os.getpid(), started_at(os.getpid()))
        record = _Record(me, None if server is None else _Process(server, started_at(server)))
        replace(self._directory / _RECORD, json.dumps(asdict(record)).encode())

    def _end_orphans(self, lock: int, crashed: int | None) -> None:
        record = self._read()
        # Our own crashed server can leave a child that rewrites the AOF: as much an orphan as that of a dead owner.
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
    """Pids of the processes, but us, that have the lock's file open; without /proc, of the recorded server."""
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
        with contextlib.suppress(OSError):  # ended meanwhile, or another user's
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
