"""Where a restore builds a data directory: out of sight, until it is complete and takes its name in one step.

A restore that was killed leaves only its hidden directory, `.NAME.restoring` beside DIR (or `.restoring` in DIR, where
DIR is a volume), which is no node. The next restore to DIR removes it, and ends a Valkey that still runs there.
"""

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from services.launch.ownership import Ownership
from services.system.files import make_private_directory, sync_directory
from shared.errors import NodeError

_LOST = "lost+found"  # in the root of a file system
_INSIDE = ".restoring"
_PATIENCE = 5.0  # seconds for a Valkey of a killed restore that is just being started


class PlaceTaken(NodeError):
    """The directory cannot be restored to. The message names it; nothing was written."""


def require_empty(directory: Path) -> None:
    """Refuse a directory that holds anything.

    Raises:
        PlaceTaken
    """
    if os.path.lexists(directory) and not directory.is_dir():
        raise PlaceTaken(f"{directory} is not a directory, so nothing can be restored to it.")
    ours = (_LOST, _INSIDE) if os.path.ismount(directory) else ()
    try:
        found = sorted(entry.name for entry in directory.iterdir() if entry.name not in ours)
    except FileNotFoundError:
        return
    except OSError as error:
        raise PlaceTaken(f"{directory} cannot be read: {error.strerror}.") from None
    if found:
        raise PlaceTaken(
            f"{directory} holds {found[0]} already, and a restore writes over nothing: name an empty or a new "
            "directory with --data-dir."
        )


@contextlib.contextmanager
def building(directory: Path, last: str) -> Iterator[Path]:
    """A new directory, whose entries become those of `directory` when the block ends; if it raises, none does.

    Args:
        last: the entry without which the others are no node. Where a volume keeps `directory` from being replaced as a
            whole, the entries are moved one by one, and this one last.

    Raises:
        PlaceTaken: `directory` holds something, or another restore to it runs. OSError.
    """
    directory = directory.resolve()
    require_empty(directory)
    inside = os.path.ismount(directory)
    make_private_directory(directory if inside else directory.parent)
    made = directory / _INSIDE if inside else directory.parent / f".{directory.name}.restoring"
    with _locked(made):
        try:
            yield made
            require_empty(directory)
            _sync(made)
            if inside:
                for name in sorted(os.listdir(made), key=lambda name: (name == last, name)):
                    (made / name).rename(directory / name)
            else:
                _rename(made, directory)
            sync_directory(directory if inside else directory.parent)
        finally:
            shutil.rmtree(made, ignore_errors=True)


@contextlib.contextmanager
def _locked(made: Path) -> Iterator[None]:
    """Make the directory for this process alone, in place of one that a killed restore has left."""
    make_private_directory(made)
    lock = os.open(made, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        status = os.fstat(lock)
        if status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise PlaceTaken(f"{made} belongs to somebody else, so nothing can be restored there: remove it.")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PlaceTaken(f"Another restore works in {made}: wait for its end.") from None
        if not made.exists() or not os.path.samestat(status, made.stat()):
            raise PlaceTaken(f"Another restore has just ended in {made}: run the command again.")
        for valkey in made.glob("*/*/valkey"):
            ownership = Ownership(valkey, _PATIENCE)
            with ownership.only_starter():
                os.close(ownership.claim(None))
        for entry in made.iterdir():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        yield
    finally:
        os.close(lock)


def _rename(made: Path, directory: Path) -> None:
    try:
        made.rename(directory)  # over an empty directory, in one step
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise PlaceTaken(f"{directory} was made by another program meanwhile; nothing was restored.") from None
        raise


def _sync(directory: Path) -> None:
    """Write all files and directories below to disk."""
    for root, _, names in os.walk(directory):
        for name in names:
            descriptor = os.open(Path(root, name), os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_directory(Path(root))
