"""The files from which an embedded server starts: its password and its configuration."""

import os
import re
import secrets
import socket
import string
from pathlib import Path

from services.system.files import replace
from shared.errors import NodeError

HOST = "127.0.0.1"
_PLAIN = string.ascii_letters + string.digits + "/._-"  # bytes of a path that need no quoting


class UnusablePassword(NodeError):
    """The password file is damaged, or others can read it. The message says what to do."""


def configuration(
    directory: Path, port: int, password: str, log: Path, appendfsync: str, socket_file: Path | None = None
) -> str:
    """The server's configuration: this machine only, every write in the append-only file, no eviction. It keeps what
    took longer than 250 ms (`LATENCY LATEST`), so that a late answer can be traced to the disk.

    Args:
        socket_file: on which it listens besides its port; None: on none.
    """
    listening = f"unixsocket {_quoted(socket_file)}\nunixsocketperm 600\n" if socket_file is not None else ""
    return f"""# Written by quarry at every start; changes are lost.
bind {HOST}
port {port}
{listening}protected-mode yes
requirepass {password}
tcp-backlog 511
daemonize no
dir {_quoted(directory)}
logfile {_quoted(log)}
appendonly yes
appendfsync {appendfsync}
no-appendfsync-on-rewrite no
aof-load-truncated yes
aof-timestamp-enabled no
save ""
maxmemory-policy noeviction
latency-monitor-threshold 250
"""


def usable_socket(path: Path) -> bool:
    """Whether a server can listen on the Unix socket `path`: not if the path is too long for the system, or its file
    system has no sockets. A socket that is left there is removed.

    Nor if the path has blanks and the like: CLIENT LIST shows it as it is, and its readers would stumble over them.
    """
    if not set(str(path)) <= set(_PLAIN):
        return False
    try:
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.bind(os.fsencode(path))
    except OSError:
        return False
    path.unlink(missing_ok=True)
    return True


def read_password(path: Path) -> str:
    """The directory's password; made if there is none.

    Raises:
        UnusablePassword
    """
    try:
        if path.stat().st_mode & 0o077:
            raise UnusablePassword(f"The password file {path} can be read by others: chmod 600 it.")
        password = path.read_text("utf-8-sig", errors="replace").strip()
    except FileNotFoundError:
        password = ""
    if not password:  # also if the file is empty: only the server that is started next must know the password
        password = secrets.token_urlsafe(32)
        replace(path, f"{password}\n".encode())
    if re.fullmatch(r"[A-Za-z0-9_-]{32,256}", password) is None:
        raise UnusablePassword(f"The password file {path} is damaged: remove it, and a new one is made.")
    return password


def _quoted(path: Path) -> str:
    """A path as one word of the server's configuration, whatever bytes it has."""
    safe = (chr(byte) if chr(byte) in _PLAIN else f"\\x{byte:02x}" for byte in os.fsencode(path))
    return '"' + "".join(safe) + '"'
