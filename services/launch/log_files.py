"""The log files of programs that are kept running: each has one file and a predecessor, both of bounded size.

A program holds its log open and appends to it, so the file cannot be renamed. It is copied to its predecessor and then
truncated. After a kill between the two, some lines are in both files. A line that is written between the last read and
the truncation is lost.
"""

import contextlib
import os
from pathlib import Path

# Bytes at which a log becomes the predecessor. A program's logs take about twice that at most.
MOST_BYTES = 4 * 2**20
TAIL_LINES = 12
_PIECE = 2**16


def set_aside(path: Path) -> None:
    """Make the log of the last run the predecessor, so that each run begins an empty log."""
    if path.exists():
        path.replace(_predecessor(path))


def trim(path: Path, most: int = MOST_BYTES) -> bool:
    """Set aside a log that has grown to `most` bytes, while its program writes to it. Returns whether it was set aside.

    If the disk has no room for the copy, only the predecessor is removed, which makes room.
    """
    try:
        if path.stat().st_size < most:
            return False
        copy = path.with_name(path.name + ".new")
        try:
            _copy_and_cut(path, copy)
        except OSError:
            copy.unlink(missing_ok=True)
            _predecessor(path).unlink(missing_ok=True)
            return False
        return True
    except OSError:  # the log itself is gone, or the disk is
        return False


def _copy_and_cut(path: Path, copy: Path) -> None:
    with open(path, "r+b", buffering=0) as log:
        descriptor = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb", buffering=0) as target:
            # Until nothing more comes: the program may write meanwhile.
            while piece := log.read(_PIECE):
                target.write(piece)
            copy.replace(_predecessor(path))
            while piece := log.read(_PIECE):
                target.write(piece)
            log.truncate(0)


def tail(path: Path) -> list[str]:
    """The last lines of a log, without blank ones."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 8192))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    return [line.rstrip() for line in lines if line.strip()][-TAIL_LINES:]


def trim_all(directory: Path) -> None:
    """Trim every log in a directory."""
    with contextlib.suppress(OSError):
        for path in directory.glob("*.log"):
            trim(path)


def _predecessor(path: Path) -> Path:
    return path.with_name(path.name + ".1")
