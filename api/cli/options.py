"""What commands share: which node they talk to, the options for it, and how they print."""

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
from services.system.text_files import MIN_SECRET, BadSecret, BadTextFile, Exposed, read_secret

DEFAULT_URL = "http://127.0.0.1:5000"

Command = TypeVar("Command", bound=Callable[..., Any])


def home() -> Path:
    """The data directory, where nodes and wallets are kept.

    Raises:
        BadSettings: this user has no home directory, and no setting names a directory.
    """
    found = place()
    if found is None:
        raise BadSettings(f"{NO_HOME} Name a directory with QUARRY_DATA_HOME.")
    return found


def place() -> Path | None:
    """The data directory, or None where `home` raises BadSettings."""
    return data_home(os.environ)


def _running_nodes() -> list[tuple[NodeFiles, NodeRecord]]:
    """The nodes that `quarry up` runs on this machine; none if there is no data directory."""
    found = place()
    return running_nodes(found) if found is not None else []


def running_node(url: str | None = None) -> tuple[NodeFiles, NodeRecord] | None:
    """The node that `quarry up` runs on this machine; of several, the first of the `up` that was started last.

    Args:
        url: consider only the node at this address, which may be in any data directory of this user.
    """
    if url is None:
        return next(iter(_running_nodes()), None)
    wanted = _as_recorded(url)
    for found in (_running_nodes, _nodes_elsewhere):
        for item in found():
            if item[1].url == wanted:
                return item
    return None


def _nodes_elsewhere() -> list[tuple[NodeFiles, NodeRecord]]:
    from services.launch import node_register

    return node_register.nodes()


def _as_recorded(url: str) -> str:
    """A URL as the record of a node has it: a node that `localhost` names is at 127.0.0.1."""
    scheme, _, rest = url.rstrip("/").partition("://")
    host, colon, port = rest.partition(":")
    return f"{scheme}://127.0.0.1{colon}{port}" if host.lower() == "localhost" else f"{scheme}://{rest}"


@dataclass(frozen=True)
class Target:
    """The node that a command talks to."""

    client: NodeClient
    as_json: bool

    def show(self, value: Any, *lines: str) -> None:
        """Print the result: `value` with --json, `lines` without."""
        if self.as_json:
            terminal.show_json(value)
        else:
            terminal.show(*lines)

    def tell(self, text: str) -> None:
        """As `note`, for what cannot be undone: if standard output is full or closed, print it on standard error."""
        if not self.as_json:
            terminal.tell(text)

    def note(self, text: str) -> None:
        """Print a line before the result, except with --json."""
        if not self.as_json:
            terminal.show(text)


def with_node(command: Command) -> Command:
    """Give a command the options --url and --json, and a `Target` as its first argument."""

    @wraps(command)
    def run(*args: Any, url: str | None, token: Path | None, as_json: bool, **kwargs: Any) -> Any:
        return command(Target(connect(url, token, quiet=as_json), as_json), *args, **kwargs)

    return cast(Command, url_option(token_option(json_option(run))))


def _read_by(read: Callable[[str], str]) -> Callable[[click.Context, click.Parameter, str | None], str | None]:
    """A click callback that reads an option's value. A bad value is reported by the name of its option or variable."""

    def callback(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
        if value is None:
            return None
        from_environment = context.get_parameter_source(str(parameter.name)) is ParameterSource.ENVIRONMENT
        name = parameter.envvar if from_environment else parameter.opts[0]
        return named(str(name), read, value)

    return callback


def url_option(command: Command) -> Command:
    """The option --url."""
    text = "The node's address. [default: the node on this machine]"
    return click.option("--url", envvar="QUARRY_URL", callback=_read_by(node_url), help=text)(command)


def token_option(command: Command) -> Command:
    """The option --token: a file, since other users of the machine can see the arguments of a command."""
    text = "A file with the admin token. [default: QUARRY_TOKEN, or that of the node on this machine]"
    return click.option("--token", metavar="FILE", type=click.Path(path_type=Path), help=text)(command)


def redis_url_option(option: str, variable: str, text: str) -> Callable[[Command], Command]:
    """An option for the URL of a Redis or Valkey server."""

    def read(value: str) -> str:
        from services.settings import redis_url

        normal = redis_url.normal if variable == "QUARRY_BROKER_URL" else redis_url.normal_store
        return normal(clean(value))

    return click.option(option, envvar=variable, callback=_read_by(read), help=text)


def connect(url: str | None, token_file: Path | None = None, *, quiet: bool = False) -> NodeClient:
    """A client for `url`, or for the node that runs on this machine, or for the default address.

    The client sends the token in `token_file`, or QUARRY_TOKEN if it is set. Otherwise it sends a node's token file,
    but only to that node.

    Raises:
        Failure: `token_file` cannot be used; exit code 2. BadSettings: QUARRY_TOKEN cannot be used.
    """
    token = _given_token() if token_file is None else _token_in(token_file)
    found = running_node(url)
    if found is None:
        return NodeClient(url or DEFAULT_URL, token, quiet=quiet)
    # At the address of the record: another program may listen at the other address of `localhost`.
    return NodeClient(found[1].url, token or _read_token(found[1]), quiet=quiet)


def _given_token() -> str | None:
    """QUARRY_TOKEN, or None.

    Raises:
        BadSettings: it cannot be sent in a header. The message does not repeat it.
    """
    token = os.environ.get("QUARRY_TOKEN", "").lstrip("\N{ZERO WIDTH NO-BREAK SPACE}").strip()
    if not token.isascii() or not token.isprintable() or " " in token:
        raise BadSettings("QUARRY_TOKEN: must be one line of ASCII without blanks, as in the node's admin-token file.")
    return token or None


def _token_in(file: Path) -> str:
    if not file.exists():
        raise Failure(f"--token: there is no file {file}; to give the token itself, set QUARRY_TOKEN.", USAGE)
    return given_secret("--token", file, "`quarry up` says where its node keeps the token.")


def given_secret(option: str, file: Path, remedy: str, least: int = MIN_SECRET) -> str:
    """The secret in the file that an option names, which somebody else has made.

    Args:
        remedy: a sentence that says where such a file comes from.
        least: characters that the secret must have.

    Raises:
        Failure: the file cannot be used; exit code 2. The message does not repeat what is in it.
    """
    try:
        return read_secret(file, least)
    except Exposed as error:
        raise Failure(f"{option}: {error}", USAGE) from None
    except BadSecret as error:
        raise Failure(f"{option}: {error.fault}. {remedy}", USAGE) from None
    except BadTextFile as error:
        raise Failure(f"{option}: {error} {remedy}", USAGE) from None


def _read_token(record: NodeRecord) -> str | None:
    try:
        return read_secret(Path(record.admin_token_file))
    except BadTextFile:  # a user who may not read the token can use commands that need none
        return None


def json_option(command: Command) -> Command:
    """The option --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def all_option(command: Command) -> Command:
    """The option --all of lists that a terminal may be too low for (`api.cli.table.that_fit`)."""
    return click.option("--all", "everything", is_flag=True, help="Show all, not only what fits the terminal.")(command)


def require(condition: bool, message: str) -> None:
    """Refuse wrong usage that click does not check: exit code 2 with `message` unless `condition` holds."""
    if not condition:
        raise Failure(message, USAGE)
