"""The running nodes of this user on this machine, whatever their data directories.

A node of `quarry up` has its record (`node.json`) in its data directory, which other commands may not know. So each
node also leaves a file with the path of its record in one directory of this user, in the system's temporary directory.
Nothing is believed because of such a file: the record itself has to be private, and its process alive.
"""

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

from services.launch.node_files import NodeFiles, NodeRecord, is_alive
from services.system.files import make_private_directory, replace

_MOST_BYTES = 4096  # the longest path of a file
_MOST_FILES = 1000
_ATTEMPTS = 3


def directory() -> Path:
    """Where the files are; it need not exist."""
    return Path(tempfile.gettempdir()) / f"quarry-{os.getuid()}"


def enter(record: Path) -> None:
    """Note that a node with this record runs. Does nothing if the directory cannot be used."""
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(OSError):
            if not directory().exists():
                make_private_directory(directory())
            if _is_ours():
                _forget_dead()
                replace(_entry(record), str(record.absolute()).encode())
            return
        # The last node that left may just have removed the directory.


def leave(record: Path) -> None:
    """Take back what `enter` noted. The last one removes the directory."""
    with contextlib.suppress(OSError):
        if _is_ours():
            _entry(record).unlink(missing_ok=True)
            directory().rmdir()


def nodes() -> list[tuple[NodeFiles, NodeRecord]]:
    """The nodes that were entered and run, the latest `quarry up` first."""
    found = [(files, record) for entry in _entries() for files, record in _living(entry)]
    return sorted(found, key=lambda item: item[1].started_at, reverse=True)


def _entry(record: Path) -> Path:
    return directory() / f"{hashlib.sha256(os.fsencode(record.absolute())).hexdigest()[:32]}.node"


def _entries() -> list[Path]:
    try:
        return sorted(directory().glob("*.node"))[:_MOST_FILES] if _is_ours() else []
    except OSError:
        return []


def _living(entry: Path) -> list[tuple[NodeFiles, NodeRecord]]:
    """The node that an entry names, if it runs: none or one."""
    try:
        with entry.open("rb") as file:
            files = NodeFiles(Path(os.fsdecode(file.read(_MOST_BYTES))).parent)
        record = files.read_record()
    except (OSError, ValueError):
        return []
    return [(files, record)] if record is not None and is_alive(record) else []


def _forget_dead() -> None:
    for entry in _entries():
        if not _living(entry):
            entry.unlink(missing_ok=True)


def _is_ours() -> bool:
    """Whether the directory is this user's alone: others can make one of that name in a shared place."""
    try:
        status = directory().lstat()
    except OSError:
        return False
    return status.st_uid == os.geteuid() and status.st_mode & 0o170077 == 0o040000
