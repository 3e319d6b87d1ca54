"""`quarry up`: run a whole node, or several, on this machine until Ctrl-C."""

import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

import click

from api.cli import terminal
from api.cli.group import INTERRUPTED, USAGE, Failure
from api.cli.node.state_files import settings_of, state_files
from api.cli.options import require
from services.errors import BadSettings
from services.launch.ending import when_input_ends
from services.launch.launcher import Launch, LaunchFailed, PortInUse, RunningNode, default_workers
from services.launch.node_files import NO_HOME, node_files
from services.launch.node_plan import NodePlan, passed_settings
from services.settings.paths import expanded
from services.settings.table import BUILT_IN_SPECS, Settings, load
from services.system import logs
from services.system.programs import scrub_environment
from services.wallet.development import ACCOUNTS
from shared.rules import rules_for

NODE = "node1"
MAX_NODES = 16
# Settings that belong to one node, so they are refused with --nodes.
_OF_ONE_NODE = ("QUARRY_NODE", "QUARRY_REDIS_URL", "QUARRY_PUBLIC_URL")
_MAX_PORT = 65535
_FILE = click.Path(path_type=Path)


@click.command()
@click.option("--spec", metavar="NAME|FILE", help="The chain spec. [default: QUARRY_SPEC, or dev]")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="The directory for keys, chain and logs. [default: QUARRY_DATA_HOME, QUARRY_DATA_DIR, or ~/.quarry]",
)
@click.option("--host", help="The name or address to listen on. [default: QUARRY_HOST, or 127.0.0.1]")
@click.option(
    "--port",
    type=click.IntRange(0, _MAX_PORT),
    help="The API's port; with --nodes the first node's, and the others take the next ports. 0: any free port. "
    "[default: QUARRY_PORT, or 5000]",
)
@click.option(
    "--nodes", default=1, show_default=True, type=click.IntRange(1, MAX_NODES), help="How many nodes; they are peers."
)
@click.option(
    "--workers",
    type=click.IntRange(0, 256),
    help="How many mining workers each node has. [default: one per core, or one with several nodes]",
)
@click.option(
    "--redis-url",
    help="A Redis or Valkey server (7 or later) to use. [default: QUARRY_REDIS_URL, or an embedded Valkey]",
)
@click.option(
    "--automine/--no-automine",
    default=None,
    help="Mine whenever a transaction waits, or only on request. [default: QUARRY_AUTOMINE, or --automine]",
)
@click.option(
    "--state", type=_FILE, help="Load the state from this file, if it is there, and write it there at the end."
)
@click.option("--load-state", type=_FILE, help="Begin with the state of this file, which another node has written.")
@click.option("--dump-state", type=_FILE, help="Write the state to this file at the end.")
@click.option("--unsafe-development", is_flag=True, help="Allow other machines to reach a development chain.")
@click.option("--until-eof", is_flag=True, help="Stop at the end of standard input: when a program that holds it ends.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one line of JSON when the nodes are ready, and nothing else."
)
def up(
    spec: str | None,
    data_dir: Path | None,
    host: str | None,
    port: int | None,
    nodes: int,
    workers: int | None,
    redis_url: str | None,
    automine: bool | None,
    state: Path | None,
    load_state: Path | None,
    dump_state: Path | None,
    unsafe_development: bool,
    until_eof: bool,
    as_json: bool,
) -> None:
    """Start a node with all it needs: Valkey, API, mining workers, network worker and ticker. Ctrl-C stops everything.

    Several nodes (--nodes) form a network: each has its own keys, store and chain, and all the others as peers. The
    other commands talk to the first node, and only the first mines without a request.

    Options override the settings in the environment (QUARRY_…, see docs/settings.md).
    """
    options: dict[str, tuple[str, str | None]] = {
        "QUARRY_SPEC": ("--spec", spec),
        "QUARRY_DATA_DIR": ("--data-dir", None if data_dir is None else str(data_dir)),
        "QUARRY_HOST": ("--host", host),
        "QUARRY_PORT": ("--port", None if port is None else str(port)),
        "QUARRY_REDIS_URL": ("--redis-url", redis_url),
        "QUARRY_AUTOMINE": ("--automine", None if automine is None else str(automine).lower()),
        "QUARRY_UNSAFE_DEVELOPMENT": ("--unsafe-development", "true" if unsafe_development else None),
    }
    given = passed_settings(os.environ)
    logs.configure("warning", "console")
    files = state_files(state, load_state, dump_state, nodes)
    settings = _settings(given, options)
    if nodes > 1:
        for name in _OF_ONE_NODE:
            said = options.get(name, ("", None))[1] is not None
            what = options[name][0] if said else name
            require(not (said or given.get(name)), f"{what} is for one node; leave it out with --nodes.")
        require(settings.port + nodes - 1 <= _MAX_PORT, f"--port {settings.port} leaves no ports for {nodes} nodes.")
    if settings.data_dir is None:
        raise Failure(f"{NO_HOME} Name a directory with --data-dir or QUARRY_DATA_HOME.", USAGE)
    settings.admin_token()  # refuses a bad token file before anything starts; without one, each node makes its own
    home = settings.data_dir.absolute()
    if files.load is not None:
        given = {**given, **settings_of(files.load, spec or given.get("QUARRY_SPEC"), home)}
        options["QUARRY_SPEC"] = ("--load-state", given["QUARRY_SPEC"])
        spec = given["QUARRY_SPEC"]
        settings = _settings(given, options)
    if workers is None:
        workers = default_workers() if nodes == 1 else 1
    names = [settings.node] if nodes == 1 else [f"node{number}" for number in range(1, nodes + 1)]
    plans = [
        NodePlan(
            name=name,
            files=node_files(home, settings.spec.name, name),
            spec=_spec_from_anywhere(spec or given.get("QUARRY_SPEC") or "dev"),
            host=settings.host,
            port=settings.port and settings.port + number,
            workers=workers,
            automine=settings.automine and number == 0,
            redis_url=settings.redis_url if redis_url or given.get("QUARRY_REDIS_URL") else None,
            unsafe_development=settings.unsafe_development,
            settings=given,
            load_state=files.load,
            resume=files.resume,
            dump_state=files.dump,
        )
        for number, name in enumerate(names)
    ]
    scrub_environment()
    interruption = Interruption()
    if until_eof:
        when_input_ends(interruption.interrupt)
    launch = Launch(plans)
    try:
        with interruption.may_raise():
            launch.start()
        for node in launch.nodes:
            if node.fault:
                terminal.say(f"quarry: {node.plan.name}: {node.fault}")
        if as_json:
            terminal.show_json(launch.to_object(home))
        else:
            terminal.show(*_welcome(launch))
        launch.run(interruption.event)
        if not as_json:
            terminal.show("Stopping …")
    except PortInUse as error:
        raise Failure(str(error), USAGE) from None
    except LaunchFailed as error:
        for text in error.tail:
            terminal.say(f"  {text}")
        raise
    except KeyboardInterrupt:
        raise Failure("Interrupted during the start; everything was stopped.", INTERRUPTED) from None
    finally:
        launch.stop()
    if files.dump is not None and not as_json:
        terminal.show(f"The state is in {files.dump}.")


def _settings(given: Mapping[str, str], options: Mapping[str, tuple[str, str | None]]) -> Settings:
    """The settings of the first node: the environment's, overridden by the options.

    Args:
        given: settings from the environment.
        options: name of the setting → name of the option, and its value, if it was given.

    Raises:
        BadSettings: the message names the setting, or the option.
    """
    said = {name: value for name, (_, value) in options.items() if value is not None}
    home = {"QUARRY_DATA_DIR": found} if (found := os.environ.get("QUARRY_DATA_HOME")) else {}
    for name, value in said.items():
        if not value:
            raise BadSettings(f"{options[name][0]}: must not be empty.")
    try:
        return load({"QUARRY_AUTOMINE": "true", **given, **home, **said})
    except BadSettings as error:
        name, colon, reason = str(error).partition(": ")
        if name in said:
            name = f"{options[name][0]} ({name})"
        elif name in home:
            name = "QUARRY_DATA_HOME"
        raise BadSettings(f"{name}{colon}{reason}") from None


def _spec_from_anywhere(spec: str) -> str:
    """The name of a built-in spec, or a file's absolute path, since the processes may have other directories."""
    return spec if spec in BUILT_IN_SPECS else str(expanded(spec).absolute())


class Interruption:
    """Handles Ctrl-C, SIGTERM and SIGHUP: inside `may_raise` they raise KeyboardInterrupt, outside they set `event`.

    Once `event` is set, another signal raises KeyboardInterrupt, which cuts the stopping short.
    """

    def __init__(self) -> None:
        self.event = threading.Event()
        self._raises = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._received)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # it is ignored under nohup
            signal.signal(signal.SIGHUP, self._received)

    def may_raise(self) -> "Interruption":
        """For a block that may wait for minutes without looking at `event`: a signal raises KeyboardInterrupt in it."""
        return self

    def interrupt(self) -> None:
        """As a first signal does; nothing if there was one. May be called in any thread."""
        if not self.event.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    def __enter__(self) -> None:
        self._raises = True
        if self.event.is_set():
            raise KeyboardInterrupt

    def __exit__(self, *_: object) -> None:
        self._raises = False

    def _received(self, number: int, frame: FrameType | None) -> None:
        if self._raises or self.event.is_set():
            self._raises = False
            raise KeyboardInterrupt
        self.event.set()


def _welcome(launch: Launch) -> list[str]:
    first = launch.nodes[0]
    spec = first.settings.spec
    lines = [
        f"{_names(launch)} up: chain {spec.name} (id {spec.chain_id}), {first.plan.workers} mining worker(s)"
        f"{' each' if launch.nodes[1:] else ''}.",
        "",
    ]
    for node in launch.nodes:
        lines += _shown(node, first=node is first, only=len(launch.nodes) == 1)
    if spec.development and spec.allocations:
        lines += [
            "Development accounts and their private keys. The keys are public: use them on",
            "no other chain.",
            "",
        ]
        lines += [text for account in ACCOUNTS for text in (f"  {account.address}", f"    {account.private_key}")]
        lines += [""]
    # Under the tutorial's rules nothing is signed, so a wallet is of no use.
    third = "quarry wallet new alice" if rules_for(spec).has_accounts else "quarry chain show"
    lines += [f"In another terminal, try: quarry status, quarry mine, {third}"]
    return [*lines, "Ctrl-C stops everything."]


def _names(launch: Launch) -> str:
    first, *others = launch.nodes
    return f"{first.plan.name} to {others[-1].plan.name} are" if others else f"{first.plan.name} is"


def _shown(node: RunningNode, *, first: bool, only: bool) -> list[str]:
    wallet = "node" if first else node.plan.name
    return [
        *([] if only else [node.plan.name]),
        f"  API         {node.url}  (documentation: {node.url}/docs)",
        f"  Explorer    {node.url}/",
        f"  Jobs        {node.url}/rq  (any user; password: the admin token)",
        f"  Admin token {node.admin_token_file}",
        f"  Address     {node.address}  (wallet: {wallet})",
        f"  Data        {node.plan.files.directory}",
        "",
    ]
