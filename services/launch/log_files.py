"""The log files of programs that are kept running: one file and its predecessor for each, both of a bounded size.

A program holds its log open and appends to it, so a file cannot be renamed away under it. It is copied to its
predecessor's place and then cut to nothing. Killed between the two, some lines stand in both files and none is lost;
a line that is written between the last look and the cut is.
"""

import contextlib
import os
from pathlib import Path

# A log that has grown to this, in bytes, becomes the predecessor. So a program's logs take twice that at most.
MOST_BYTES = 4 * 2**20
TAIL_LINES = 12
_PIECE = 2**16


def set_aside(path: Path) -> None:
    """Make the log of the last run the predecessor of this run's, so that runs do not mix."""
    if path.exists():
        path.replace(_predecessor(path))


def trim(path: Path, most: int = MOST_BYTES) -> bool:
    """Set a log aside that has grown to `most` bytes, while its program writes to it; whether that was done.

    A disk that has no room for the copy is left as it is, but for the predecessor, whose room may be what is needed.
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
            # What is written meanwhile is copied too: the end is only where nothing more comes.
            while piece := log.read(_PIECE):
                target.write(piece)
            copy.replace(_predecessor(path))
            while piece := log.read(_PIECE):
                target.write(piece)
            log.truncate(0)


def tail(path: Path) -> list[str]:
    """The last lines of a log, blank ones left out."""
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
