"""What most commands share: which node they talk to, and how they print."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import click
from click.core import ParameterSource

from api.cli import terminal
from api.cli.client import NodeClient, node_url
from api.cli.group import USAGE, Failure
from services.errors import BadSettings
from services.launch.node_files import NO_HOME, NodeFiles, NodeRecord, data_home, running_nodes
from services.settings.values import clean, named
from services.system.text_files import BadTextFile, read_secret

DEFAULT_URL = "http://127.0.0.1:5000"

Command = TypeVar("Command", bound=Callable[..., Any])


def home() -> Path:
    """Where nodes and wallets are kept.

    Raises:
        BadSettings: nowhere, as this user has no home and no setting names another place.
    """
    found = place()
    if found is None:
        raise BadSettings(f"{NO_HOME} Name a directory with QUARRY_DATA_HOME.")
    return found


def place() -> Path | None:
    """As `home`, for those who can do without."""
    return data_home(os.environ)


def _running_nodes() -> list[tuple[NodeFiles, NodeRecord]]:
    """The nodes of `quarry up` on this machine; none, without a complaint, where there is no place for them."""
    found = place()
    return running_nodes(found) if found is not None else []


def running_node(url: str | None = None) -> tuple[NodeFiles, NodeRecord] | None:
    """The node that `quarry up` runs on this machine, at `url` if that is given; of several, the one started last."""
    found = [item for item in _running_nodes() if url in (None, item[1].url)]
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
    return cast(Command, url_option(run))


def _read_by(read: Callable[[str], str]) -> Callable[[click.Context, click.Parameter, str | None], str | None]:
    """A click callback that reads an option's value, and names the option or its variable if it cannot be used."""

    def callback(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
        if value is None:
            return None
        from_environment = context.get_parameter_source(str(parameter.name)) is ParameterSource.ENVIRONMENT
        name = parameter.envvar if from_environment else parameter.opts[0]
        return named(str(name), read, value)

    return callback


def url_option(command: Command) -> Command:
    """The option --url."""
    text = "The node's address. [default: the one that runs here]"
    return click.option("--url", envvar="QUARRY_URL", callback=_read_by(node_url), help=text)(command)


def redis_url_option(option: str, variable: str, text: str) -> Callable[[Command], Command]:
    """An option that is the URL of a Redis."""

    def read(value: str) -> str:
        from services.settings import redis_url

        return redis_url.normal(clean(value))

    return click.option(option, envvar=variable, callback=_read_by(read), help=text)


def connect(url: str | None) -> NodeClient:
    """A client for `url`, else for the node that runs here, else for the default address.

    The admin token goes only where it belongs: QUARRY_TOKEN to the node that was named, the token file to its own node.
    """
    token = _given_token()
    if url is not None:
        return NodeClient(url, token or _own_token(url))
    found = running_node()
    if found is None:
        return NodeClient(DEFAULT_URL, token)
    return NodeClient(found[1].url, token or _read_token(found[1]))


def _given_token() -> str | None:
    """QUARRY_TOKEN, as it can be sent in a header.

    Raises:
        BadSettings: it cannot; the message does not repeat it.
    """
    token = os.environ.get("QUARRY_TOKEN", "").lstrip("\N{ZERO WIDTH NO-BREAK SPACE}").strip()
    if not token.isascii() or not token.isprintable() or " " in token:
        raise BadSettings("QUARRY_TOKEN: must be one line of ASCII without blanks, as in a token file.")
    return token or None


def _own_token(url: str) -> str | None:
    for _, record in _running_nodes():
        if record.url == url.rstrip("/"):
            return _read_token(record)
    return None


def _read_token(record: NodeRecord) -> str | None:
    try:
        return read_secret(Path(record.admin_token_file))
    except BadTextFile:  # who has no right to it can still do what needs none
        return None


def json_option(command: Command) -> Command:
    """--json alone, for commands without a node."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")(command)


def require(condition: bool, message: str) -> None:
    """Refuse wrong usage that click cannot see."""
    if not condition:
        raise Failure(message, USAGE)
