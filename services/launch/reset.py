"""Removing the chains of nodes that have stopped. Keys stay unless they are asked for."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services.launch.made_chain import MadeFiles
from services.launch.node_files import NodeFiles, NodeFilesError, is_alive
from services.launch.ownership import Ownership

_PATIENCE = 5.0  # seconds to wait for another process that starts or ends a server
_NO_NODES = ("ephemeral-", ".")  # beginnings of directories that end by themselves


class StillRuns(NodeFilesError):
    """The node runs, so its chain cannot be removed."""


@dataclass(frozen=True, slots=True)
class Resettable:
    """A node whose files are in a data directory."""

    spec: str  # name of its directory, which is the chain spec's
    name: str
    files: NodeFiles

    @property
    def title(self) -> str:
        return f"{self.spec}/{self.name}"

    @property
    def has_chain(self) -> bool:
        """Whether it keeps a chain here; with a Redis of the user's own, it does not."""
        return self.files.valkey.is_dir()


def nodes_in(home: Path) -> list[Resettable]:
    """The nodes in a data directory, running or not, by chain and name. A directory of wallets holds none."""
    found = []
    with contextlib.suppress(OSError):
        for directory in sorted(home.glob("*/*")):
            files = NodeFiles(directory)
            ends_by_itself = directory.parent.name.startswith(_NO_NODES)
            if not ends_by_itself and directory.is_dir() and not directory.is_symlink() and _is_nodes(files):
                found.append(Resettable(directory.parent.name, directory.name, files))
    return found


def _is_nodes(files: NodeFiles) -> bool:
    return files.valkey.is_dir() or files.admin_token.is_file()


def reset(node: Resettable, *, keys: bool) -> None:
    """Remove a node's chain and logs; with `keys`, also its key and its admin token: all of its directory.

    With the last node of a chain that `quarry up` has made, `keys` also removes that chain's spec and phrase.

    Raises:
        StillRuns: it runs. AlreadyRunning: another process uses its store. NodeFilesError: the disk refuses.
    """
    require_stopped(node)
    files = node.files
    try:
        with _store_is_ours(files.valkey):
            if files.valkey.is_dir():
                shutil.rmtree(files.valkey)
        if files.logs.is_dir():
            shutil.rmtree(files.logs)
        files.remove_record()
        if keys:
            shutil.rmtree(files.directory)
            _forget_made_chain(MadeFiles(files.directory.parent))
    except OSError as error:
        raise NodeFilesError(f"{error.filename or files.directory} cannot be removed: {error.strerror}.") from None


def require_stopped(node: Resettable) -> None:
    """Raises: StillRuns."""
    record = node.files.read_record()
    if record is not None and is_alive(record):
        raise StillRuns(
            f"The node {node.title} runs (process {record.pid}): stop it first, by Ctrl-C at its `quarry up`."
        )


def _forget_made_chain(made: MadeFiles) -> None:
    """Remove the spec and the phrase of a chain that `quarry up` made, once none of its nodes is left."""
    if made.exist() and not made.is_begun():
        made.spec.unlink()
        made.mnemonic.unlink(missing_ok=True)


@contextlib.contextmanager
def _store_is_ours(valkey: Path) -> Iterator[None]:
    """Keep every `quarry up` from starting a server on a directory; one that a killed one has left is ended.

    Raises:
        AlreadyRunning: a server runs there, or is being started.
    """
    if not valkey.is_dir():
        yield
        return
    ownership = Ownership(valkey, _PATIENCE)
    with ownership.only_starter():
        lock = ownership.claim(None)
        try:
            yield
        finally:
            os.close(lock)
