"""What most commands share: which node they talk to, and how they print."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from api.cli import terminal
from api.cli.client import NodeClient
from api.cli.group import USAGE, Failure
from services.launch.node_files import NodeFiles, NodeRecord, data_home, running_nodes

DEFAULT_URL = "http://127.0.0.1:5000"

Command = TypeVar("Command", bound=Callable[..., Any])


def home() -> Path:
    """Where nodes and wallets are kept."""
    return data_home(os.environ)


def running_node() -> tuple[NodeFiles, NodeRecord] | None:
    """The node that `quarry up` runs on this machine; of several, the one started last."""
    found = running_nodes(home())
    return found[0] if found else None


@dataclass(frozen=True)
class Target:
    """The node that a command talks to."""

    client: NodeClient
    as_json: bool

    def show(self, value: Any, *lines: str) -> None:
        """Print the result: `value` for machines, `lines` for people."""
        if self.as_json:
            terminal.show_json(value)
        else:
            terminal.show(*lines)

    def tell(self, text: str) -> None:
        """As `note`, where something cannot be undone any more: it goes on, whether anybody can be told or not."""
        if not self.as_json:
            terminal.tell(text)

    def note(self, text: str) -> None:
        """Print something on the way, for people only."""
        if not self.as_json:
            terminal.show(text)


def with_node(command: Command) -> Command:
    """Give a command the options --url and --json, and a `Target` as its first argument."""

    @wraps(command)
    def run(*args: Any, url: str | None, as_json: bool, **kwargs: Any) -> Any:
        return command(Target(connect(url), as_json), *args, **kwargs)

    run = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")(run)
    run = click.option("--url", envvar="QUARRY_URL", help="The node's address. [default: the one that runs here]")(run)
    return cast(Command, run)


def connect(url: str | None) -> NodeClient:
    """A client for `url`, else for the node that runs here, else for the default address.

    The admin token goes only where it belongs: QUARRY_TOKEN to the node that was named, the token file to its own node.
    """
    token = os.environ.get("QUARRY_TOKEN") or None
    if url is not None:
        return NodeClient(url, token or _own_token(url))
    found = running_node()
    if found is None:
        return NodeClient(DEFAULT_URL, token)
    return NodeClient(found[1].url, token or _read_token(found[1]))


def _own_token(url: str) -> str | None:
    for _, record in running_nodes(home()):
        if record.url == url.rstrip("/"):
            return _read_token(record)
    return None


def _read_token(record: NodeRecord) -> str | None:
    try:
        return Path(record.admin_token_file).read_text("ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def json_option(command: Command) -> Command:
    """--json alone, for commands without a node."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")(command)


def require(condition: bool, message: str) -> None:
    """Refuse wrong usage that click cannot see."""
    if not condition:
        raise Failure(message, USAGE)
