"""Files that nobody may find half written, and those that only their owner may read."""

import os
from pathlib import Path

PRIVATE = 0o600


def write_new(path: Path, content: bytes, mode: int = PRIVATE) -> None:
    """Write a file that is not there yet; it is on the disk then.

    Raises:
        FileExistsError: it is there already, and stays as it is.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)  # half a file would bar the name for good
        raise


def replace(path: Path, content: bytes, mode: int = PRIVATE) -> None:
    """Write a file in one step, over an old one: a reader finds the old content or the new, never half."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    write_new(new, content, mode)
    new.replace(path)


def make_private_directory(path: Path) -> None:
    """Make a directory for its owner alone, whatever the umask; parents that are missing are made likewise.

    Raises:
        OSError: it cannot be made, or is no directory.
    """
    for directory in (*reversed(path.parents), path):
        try:
            directory.mkdir(mode=0o700)
        except FileExistsError:
            if not directory.is_dir():
                raise
        except OSError:
            if not directory.is_dir():  # such as / on a read-only disk, which is there all the same
                raise


def open_private(path: Path, flags: int = 0) -> int:
    """A descriptor for reading and writing; the file is made if missing. To be closed."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | flags, PRIVATE)
