"""Data directories that end with their `quarry up`. What a killed one leaves behind, the next one removes.

Each is a directory `ephemeral-…` in the data directory, so that other commands find its nodes, and holds a file that
its owner keeps locked.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import structlog

from services.launch.node_files import NodeFilesError
from services.launch.ownership import AlreadyRunning, Ownership
from services.system.files import make_private_directory, open_private

log = structlog.get_logger(__name__)

_PREFIX = "ephemeral-"
_LOCK = "owner.lock"
_PATIENCE = 5.0  # seconds to wait for another process that ends the same orphan


@contextlib.contextmanager
def ephemeral_directory(home: Path) -> Iterator[Path]:
    """A new directory in `home`, which is removed with all that is in it when the block ends.

    Raises:
        NodeFilesError: it cannot be made.
    """
    remove_abandoned(home)
    try:
        make_private_directory(home)
        # It gets its name once it is locked: an `ephemeral-…` without a lock is nobody's.
        made = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}", dir=home))
        lock = open_private(made / _LOCK)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        directory = made.rename(home / made.name.removeprefix("."))
    except OSError as error:
        raise NodeFilesError(f"No directory can be made in {home}: {error.strerror}.") from None
    try:
        yield directory
    finally:
        _remove(directory)
        os.close(lock)


def remove_abandoned(home: Path) -> None:
    """Remove the directories whose owners were killed. Valkey servers that outlived them are ended first."""
    for directory in sorted(home.glob(f"{_PREFIX}*")):
        if directory.is_symlink() or not directory.is_dir():
            continue
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError, AlreadyRunning):
            lock = open_private(directory / _LOCK)
            stack.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: its owner lives
            for valkey in directory.glob("*/valkey"):
                ownership = Ownership(valkey, _PATIENCE)
                stack.enter_context(ownership.only_starter())
                stack.callback(os.close, ownership.claim(None))
            _remove(directory)


def _remove(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    if directory.exists():
        log.warning("directory_not_removed", directory=str(directory))
