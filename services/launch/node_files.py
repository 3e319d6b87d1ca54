"""The files of a node that `quarry up` made, and how other commands find it.

DATA_DIR/SPEC/NODE/   private.key public.key certificate.pem admin-token node.json valkey/ logs/
"""

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from services.settings.paths import DEFAULT_HOME, expanded, expanded_if_possible
from services.settings.values import named
from services.system.files import make_private_directory, replace
from services.system.text_files import BadSecret, BadTextFile, read_secret
from services.wallet import keyring
from shared.errors import NodeError

NO_HOME = "This user has no home directory, so there is no place for nodes and wallets."


class NodeFilesError(NodeError):
    """A node's files cannot be made or used. The message names the file."""


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """`node.json`: what a client needs to talk to a node. Holds the store's password, so its mode is 0600."""

    name: str
    spec: str  # the chain spec's name
    url: str
    address: str
    redis_url: str
    admin_token_file: str
    pid: int  # of `quarry up`
    started: str  # when that process began, by `services.system.processes.started_at`
    started_at: float  # Unix seconds
    development_accounts: int = 0  # with coins; their names are account0, account1 …
    mnemonic_file: str = ""  # with their phrase; "": they are anvil's
    # Of the door for wallets and tools; "" in the record of an older release.
    rpc_url: str = ""
    ws_url: str = ""


@dataclass(frozen=True, slots=True)
class NodeFiles:
    """The files of one node."""

    directory: Path

    @property
    def valkey(self) -> Path:
        return self.directory / "valkey"

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    @property
    def admin_token(self) -> Path:
        return self.directory / "admin-token"

    @property
    def record(self) -> Path:
        return self.directory / "node.json"

    def prepare(self) -> str:
        """Make directories, keys and admin token where they are missing. Returns the node's address.

        Raises:
            NodeFilesError, KeyringError: the disk refuses, or a secret can be read by others (UnsafePermissions).
        """
        try:
            for directory in (self.directory, self.logs):
                make_private_directory(directory)
        except OSError as error:
            raise NodeFilesError(f"The directory {self.directory} cannot be made: {error.strerror}.") from None
        if (self.directory / keyring.PRIVATE_KEY).exists():
            keyring.require_private(self.directory / keyring.PRIVATE_KEY)
            address = keyring.address_of(self.directory)
        else:
            address = keyring.create(self.directory).address
        self._prepare_admin_token()
        return address

    def _prepare_admin_token(self) -> None:
        """Make an admin token if there is none, or if the file is empty or holds one that is too short."""
        if self.admin_token.exists():
            keyring.require_private(self.admin_token)
            try:
                read_secret(self.admin_token)
                return
            except BadSecret:
                import structlog  # only here: all commands import this module, and few of them log

                structlog.get_logger(__name__).warning(
                    "admin_token_replaced", file=str(self.admin_token), reason="it was empty or too short"
                )
            except BadTextFile as error:
                raise NodeFilesError(f"The admin token: {error}") from None
        write_private(self.admin_token, secrets.token_urlsafe(32) + "\n")

    def write_record(self, record: NodeRecord) -> None:
        """Write the record: the node runs."""
        write_private(self.record, json.dumps(asdict(record), indent=2) + "\n")

    def remove_record(self) -> None:
        """Remove the record: the node was stopped."""
        self.record.unlink(missing_ok=True)

    def read_record(self) -> NodeRecord | None:
        """The record, whether its process lives or not; None if there is none that is readable and private."""
        try:
            if self.record.stat().st_mode & 0o077:
                return None
            value: Any = json.loads(self.record.read_bytes())
            return NodeRecord(**value)
        except (OSError, ValueError, TypeError):
            return None


def node_files(data_home: Path, spec: str, node: str) -> NodeFiles:
    """The files of the node `node` of the chain `spec`."""
    return NodeFiles(data_home / spec / node)


def data_home(environment: Mapping[str, str]) -> Path | None:
    """Where nodes and wallets are kept: QUARRY_DATA_HOME, else QUARRY_DATA_DIR, else `~/.quarry`.

    None: neither is set, and this user has no home.

    Raises:
        BadSettings: the variable names a home that does not exist.
    """
    for name in ("QUARRY_DATA_HOME", "QUARRY_DATA_DIR"):
        if given := environment.get(name):
            return named(name, expanded, given)
    return expanded_if_possible(DEFAULT_HOME)


def running_nodes(home: Path) -> list[tuple[NodeFiles, NodeRecord]]:
    """The nodes under `home` whose `quarry up` lives: the latest `up` first, and its nodes by their paths."""
    found = []
    for file in _records(home):
        files = NodeFiles(file.parent)
        record = files.read_record()
        if record is not None and is_alive(record):
            found.append((files, record))
    # The nodes of one `up` have the same time, so a stable sort leaves them as they were.
    return sorted(found, key=lambda item: item[1].started_at, reverse=True)


def is_alive(record: NodeRecord) -> bool:
    """Whether the process that wrote the record still runs."""
    from services.system.processes import started_at  # imports much, and is rarely needed

    return started_at(record.pid) == record.started


def _records(home: Path) -> Iterable[Path]:
    try:
        return sorted(home.glob("*/*/node.json"))
    except OSError:
        return []


def write_private(path: Path, text: str) -> None:
    """Write a file for its owner alone, in one step.

    Raises:
        NodeFilesError: the disk refuses.
    """
    try:
        replace(path, text.encode())
    except OSError as error:
        raise NodeFilesError(f"The file {path} cannot be written: {error.strerror}.") from None
