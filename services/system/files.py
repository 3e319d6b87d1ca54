"""Writing files: never seen half written, on disk when acknowledged, and private where they hold secrets."""

import contextlib
import errno
import fcntl
import itertools
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

PRIVATE = 0o600


def write_new(path: Path, content: bytes, mode: int = PRIVATE) -> None:
    """Write a new file; it is on disk when this returns.

    Raises:
        FileExistsError: there is a file of that name, which is left as it is.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)  # half a file would occupy the name for good
        raise


def replace(path: Path, content: bytes, mode: int = PRIVATE) -> None:
    """Write a file in one step, over an old one: a reader sees the old content or the new, never a part."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    write_new(new, content, mode)
    new.replace(path)


@contextlib.contextmanager
def writing(path: Path, *, new: bool = False, room: int = 0, mode: int = 0o666) -> Iterator[IO[bytes]]:
    """A file that takes the name `path` when the block ends; if the block raises, nothing changes there.

    If `path` cannot be written, the error comes before the block runs, so the block may do what cannot be undone. A
    pipe or a device is written to directly; anything else the block may also read.

    Args:
        new: whether to refuse an existing file.
        room: bytes to reserve on the disk before the block.
        mode: of the file, as the umask leaves it.

    Raises:
        FileExistsError: the file exists, and must be new. OSError: it cannot be written.
    """
    if new and os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    path = path.resolve()  # a link stays; its target is replaced
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(path.stat().st_mode):
            with path.open("wb") as output:
                yield output
            return
        if not os.access(path, os.W_OK):  # replacing it needs only the directory's permission
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    part, descriptor = _beside(path, mode)
    with open(descriptor, "w+b") as output:  # which holds its lock until it has its name
        try:
            if room:
                _set_aside(descriptor, room)
            yield output
            output.flush()
            output.truncate()
            os.fsync(descriptor)
            if new:
                _link(part, path)
            else:
                part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)


def _beside(path: Path, mode: int) -> tuple[Path, int]:
    """A new hidden file beside `path`, and its descriptor, which holds a lock for as long as the file is written.

    What killed processes have left there is removed: nobody has the lock of it. Process ids would not tell, since the
    programs of two containers can have the same.

    Raises:
        OSError: it cannot be made.
    """
    stem = f".{path.name[:100]}"
    for number in itertools.count():
        part = path.with_name(f"{stem}.{number}.part")
        try:
            if number == 0:
                _remove_left(path.parent, re.compile(re.escape(stem) + r"\.[0-9]+\.part"))
            descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        except FileExistsError:
            continue  # another process writes it now
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from None  # the name that was asked for
        with contextlib.suppress(OSError):  # a file system without locks, where nothing is removed either
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), part.lstat()):
                return part, descriptor
        os.close(descriptor)  # it was removed before it was locked
    raise AssertionError("unreachable")


def _remove_left(directory: Path, name: re.Pattern[str]) -> None:
    for entry in os.scandir(directory):
        if not name.fullmatch(entry.name) or not entry.is_file(follow_symlinks=False):
            continue
        with contextlib.suppress(OSError):  # locked, or not ours
            descriptor = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(entry.path)
            finally:
                os.close(descriptor)


def _set_aside(descriptor: int, room: int) -> None:
    if not hasattr(os, "posix_fallocate"):  # macOS
        return
    try:
        os.posix_fallocate(descriptor, 0, room)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise


def _link(part: Path, path: Path) -> None:
    """Give a file its name, unless the name was taken meanwhile."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        part.replace(path)
    else:
        part.unlink()


def sync_directory(directory: Path) -> None:
    """Write a directory's entries to disk, if the file system can do that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def make_private_directory(path: Path) -> None:
    """Make a directory that only its owner can enter, and its missing parents likewise.

    Raises:
        OSError: it cannot be made, or is not a directory.
    """
    for directory in (*reversed(path.parents), path):
        try:
            directory.mkdir(mode=0o700)
        except FileExistsError:
            if not directory.is_dir():
                raise
        except OSError:
            if not directory.is_dir():  # an existing one on a read-only disk
                raise


def open_private(path: Path, flags: int = 0) -> int:
    """A descriptor for reading and writing; the file is made if missing. The caller closes it."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | flags, PRIVATE)


def disk_room(directory: Path) -> tuple[int, int]:
    """Free bytes and all bytes of the disk where a directory is, or where it would be made."""
    for place in (directory, *directory.absolute().parents):
        with contextlib.suppress(OSError):  # it is not there, or not ours to look at
            usage = shutil.disk_usage(place)
            return usage.free, usage.total
    raise FileNotFoundError(directory)
