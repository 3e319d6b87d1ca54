"""Processes as the system sees them: the table, families of them, and children that end with their parent."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

ON_LINUX = sys.platform == "linux"
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def die_with_parent(parent: int, signum: signal.Signals = signal.SIGKILL) -> bool:
    """Ask the kernel to send this process `signum` when its parent dies, however it dies.

    Call it in the child, after a fork, with the parent's pid as read before the fork: if the parent is already gone,
    the signal is sent at once. A fork does not inherit the request, so grandchildren make their own. Linux ties it to
    the *thread* that forked: the signal comes when that thread ends.

    Returns:
        False on systems without this request (macOS), where nothing is done.
    """
    if not ON_LINUX:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signum)) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os.kill(os.getpid(), signum)
    return True


@dataclass(frozen=True)
class Process:
    """One row of the process table."""

    parent: int
    session: int
    started: str  # opaque; pid and start name one process, even after the pid is reused
    zombie: bool


def started_at(pid: int) -> str | None:
    """When the process began, as an opaque text; None if it has ended (a zombie has ended).

    Equal pid and equal text mean the same process, until the next boot.
    """
    process = _read_proc(pid) if _has_proc() else _read_ps(["-p", str(pid)]).get(pid)
    return None if process is None or process.zombie else process.started


def _has_proc() -> bool:
    return os.path.exists("/proc/self/stat")


def processes() -> dict[int, Process]:
    """The whole table, by pid."""
    if not _has_proc():
        return _read_ps(["-ax"])
    found = ((int(name), _read_proc(int(name))) for name in os.listdir("/proc") if name.isdecimal())
    return {pid: process for pid, process in found if process is not None}


def _read_proc(pid: int) -> Process | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may hold spaces and brackets
    return Process(int(fields[1]), int(fields[3]), fields[19], fields[0] in "ZX")


def _read_ps(selection: list[str]) -> dict[int, Process]:
    command = ["ps", *selection, "-o", "pid=,ppid=,stat=,lstart="]
    environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}  # lstart is a date in words
    listing = subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout
    table = {}
    for line in listing.splitlines():
        pid, parent, state, started = line.split(maxsplit=3)
        try:
            session = os.getsid(int(pid))
        except OSError:  # it has ended, or is another user's
            session = -1
        table[int(pid)] = Process(int(parent), session, started, state.startswith("Z"))
    return table


def _carries(pid: int, marks: Collection[bytes]) -> bool:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # another user's, or there is no /proc
        return False
    return any(mark in environment for mark in marks)


def family(sessions: Collection[int], marks: Collection[bytes], known: Mapping[int, str]) -> dict[int, Process]:
    """Our children and all that descend from them, zombies included.

    A descendant is known by its parents, by the session it did not leave, or by the mark in its environment: an RQ
    work horse leaves the process group, a daemon the session, an orphan its parents.

    Args:
        sessions: pids of our children, which lead their sessions. They are not yet reaped, so the kernel does not reuse
            the pids.
        marks: each descendant has one of these in its environment.
        known: pid → start of members seen earlier; a process that is still the same is a member.
    """
    table = processes()
    members = {
        pid
        for pid, process in table.items()
        if process.session in sessions or known.get(pid) == process.started or _carries(pid, marks)
    }
    size = 0
    while size != len(members):
        size = len(members)
        members.update(pid for pid, process in table.items() if process.parent in members)
    members.discard(os.getpid())
    return {pid: table[pid] for pid in members}
