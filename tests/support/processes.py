"""What runs on this machine, read from /proc. Elsewhere nothing is found."""

import os
import sys
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import pytest

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="processes are found through /proc")


def children(pid: int) -> list[int]:
    """Pids of a process's children."""
    with suppress(FileNotFoundError, ProcessLookupError):
        tasks = Path(f"/proc/{pid}/task").iterdir()
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    return []


def alive(pid: int) -> bool:
    """Whether a process runs. A zombie does not."""
    return state(pid) not in ("", "Z")


def state(pid: int) -> str:
    """One letter: R, S, T for stopped, Z for a zombie; empty if there is no such process."""
    return _stat(pid)[0]


def parent(pid: int) -> int:
    """The pid of a process's parent; 0 if there is no such process."""
    return int(_stat(pid)[1])


def command_of(pid: int) -> str:
    """A process's command and arguments; empty if there is no such process."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def in_sessions(sessions: Collection[int]) -> list[int]:
    """Pids of the processes of these sessions, zombies included.

    A program that is started with `start_new_session` leads a session, which its children stay in.
    """
    found = [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]
    return [pid for pid in found if int(_stat(pid)[3]) in sessions]


def processes_of(directory: Path) -> dict[int, str]:
    """Commands of the processes that name `directory` in their command or environment, or work in it; by pid."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (entry / "cmdline").read_bytes()
            text = command + (entry / "environ").read_bytes() + os.fsencode(os.readlink(entry / "cwd"))
            if os.fsencode(directory) in text and int(entry.name) != os.getpid():
                found[int(entry.name)] = command.replace(b"\0", b" ").decode()
    return found


def rss(pids: Collection[int]) -> int:
    """Resident bytes of some processes together."""
    page = os.sysconf("SC_PAGE_SIZE")
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page for pid in pids)


def _stat(pid: int) -> list[str]:
    """state, parent, group, session, …"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["", "0", "0", "0"]
