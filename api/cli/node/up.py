"""`quarry up`: run a whole node, or several, on this machine until Ctrl-C."""

import os
from collections.abc import Mapping
from pathlib import Path

import click

from api.cli import terminal
from api.cli.group import USAGE, Failure
from api.cli.help import Abridged
from api.cli.node import new_chain
from api.cli.node.foreground import Show, run
from api.cli.node.interruption import Interruption
from api.cli.node.state_files import settings_of, state_files
from api.cli.options import require
from api.cli.wallet.wallet_store import wallets_directory
from services.errors import BadSettings
from services.launch.ending import when_input_ends
from services.launch.node_files import NO_HOME
from services.launch.node_plan import NodePlan, default_workers, passed_settings
from services.launch.peer_router import PeerRouter
from services.settings.paths import expanded
from services.settings.table import BUILT_IN_SPECS, Settings, load
from services.system import logs
from services.system.programs import scrub_environment

NODE = "node1"
MAX_NODES = 16
# Settings that belong to one node, so they are refused with --nodes.
_OF_ONE_NODE = ("QUARRY_NODE", "QUARRY_REDIS_URL", "QUARRY_PUBLIC_URL")
_MAX_PORT = 65535
_FILE = click.Path(path_type=Path)


# What --help explains; --help-all explains the others too.
_BRIEF = {
    "--spec NAME|FILE": "The chain: dev, network, tutorial or a file.",
    "--port NUMBER": "The explorer's and the API's; 0: any. [default: 5000]",
    "--rpc-port NUMBER": "That of JSON-RPC; 0: any free one. [default: 8545]",
    "--data-dir DIRECTORY": "For keys, chain and logs. [default: ~/.quarry]",
    "--nodes NUMBER": "How many nodes, which are peers. [default: 1]",
    "--no-automine": "Mine only on request.",
    "--block-time SECONDS": "Mine a block every so many seconds.",
    "--accounts NUMBER": "Make a chain with so many development accounts.",
    "--ephemeral": "Make a chain that is removed when `up` ends.",
    "--quiet, --json": "Print errors only; print one line, for programs.",
    "-h, --help, --help-all": "Show this message; explain all options.",
}


@click.command(cls=Abridged, brief=_BRIEF)
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
    "--rpc-port",
    type=click.IntRange(0, _MAX_PORT),
    help="The port of JSON-RPC over HTTP and WebSocket; with --nodes as --port. 0: any free port. "
    "[default: QUARRY_RPC_PORT, or 8545 or the next free port]",
)
@click.option(
    "--nodes",
    default=1,
    show_default=True,
    type=click.IntRange(1, MAX_NODES),
    help="How many nodes; each has its own keys, store and chain, and all others as peers. Commands talk to the first, "
    "and only that one mines without a request.",
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
@new_chain.chain_options
@click.option(
    "--automine/--no-automine",
    " /--no-mining",
    default=None,
    help="Mine whenever a transaction waits, or only on request. [default: QUARRY_AUTOMINE, or --automine]",
)
@click.option(
    "--block-time",
    metavar="SECONDS",
    help="Mine a block every so many seconds, with or without transactions, and no longer whenever one waits. "
    "[default: QUARRY_BLOCK_TIME, or never]",
)
@click.option("--mixed-mining", is_flag=True, help="With --block-time: also mine whenever a transaction waits.")
@click.option(
    "--state", type=_FILE, help="Load the state from this file, if it is there, and write it there at the end."
)
@click.option("--load-state", type=_FILE, help="Begin with the state of this file, which another node has written.")
@click.option("--dump-state", type=_FILE, help="Write the state to this file at the end.")
@click.option("--unsafe-development", is_flag=True, help="Allow other machines to reach a development chain.")
@click.option("--links", is_flag=True, help="With --nodes: a router between the nodes, which parts them on request.")
@click.option("--until-eof", is_flag=True, help="Stop at the end of standard input: when a program that holds it ends.")
@click.option(
    "--config-out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write accounts, keys, chain id and addresses to a file, as JSON.",
)
@click.option("--quiet", is_flag=True, help="Print errors only.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one line of JSON when the nodes are ready, and nothing else."
)
def up(
    spec: str | None,
    data_dir: Path | None,
    host: str | None,
    port: int | None,
    rpc_port: int | None,
    nodes: int,
    workers: int | None,
    redis_url: str | None,
    automine: bool | None,
    block_time: str | None,
    mixed_mining: bool,
    state: Path | None,
    load_state: Path | None,
    dump_state: Path | None,
    unsafe_development: bool,
    links: bool,
    until_eof: bool,
    accounts: int | None,
    balance: str | None,
    mnemonic: str | None,
    mnemonic_random: bool,
    chain_id: int | None,
    ephemeral: bool,
    config_out: Path | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Start a node with all it needs, and keep it running until Ctrl-C.

    Options override the settings in the environment (docs/settings.md).
    """
    options: dict[str, tuple[str, str | None]] = {
        "QUARRY_SPEC": ("--spec", spec),
        "QUARRY_DATA_DIR": ("--data-dir", None if data_dir is None else str(data_dir)),
        "QUARRY_HOST": ("--host", host),
        "QUARRY_PORT": ("--port", None if port is None else str(port)),
        "QUARRY_RPC_PORT": ("--rpc-port", None if rpc_port is None else str(rpc_port)),
        "QUARRY_REDIS_URL": ("--redis-url", redis_url),
        "QUARRY_AUTOMINE": ("--automine", None if automine is None else str(automine).lower()),
        "QUARRY_UNSAFE_DEVELOPMENT": ("--unsafe-development", "true" if unsafe_development else None),
    }
    given = passed_settings(os.environ)
    interval = given.get("QUARRY_BLOCK_TIME", "") if block_time is None else block_time
    _require_mining_modes(automine, block_time, mixed_mining, bool(interval))
    if mixed_mining:
        options["QUARRY_AUTOMINE"] = ("--mixed-mining", "true")
    if block_time is not None:
        options["QUARRY_BLOCK_TIME"] = ("--block-time", block_time)
    logs.configure("error" if quiet else "warning", "console")
    files = state_files(state, load_state, dump_state, nodes)
    settings = _settings(given, options)
    if nodes > 1:
        for name in _OF_ONE_NODE:
            said = options.get(name, ("", None))[1] is not None
            what = options[name][0] if said else name
            require(not (said or given.get(name)), f"{what} is for one node; leave it out with --nodes.")
        for option, first in (("--port", settings.port), ("--rpc-port", settings.rpc_port)):
            require(first + nodes - 1 <= _MAX_PORT, f"{option} {first} leaves no ports for {nodes} nodes.")
    require(not links or nodes > 1, "--links are between nodes: ask for several with --nodes.")
    require(
        not (links and given.get("QUARRY_PEER_PROXY")),
        "--links is a proxy between the nodes, and QUARRY_PEER_PROXY names another: leave one of them out.",
    )
    if settings.data_dir is None:
        raise Failure(f"{NO_HOME} Name a directory with --data-dir or QUARRY_DATA_HOME.", USAGE)
    home = settings.data_dir
    settings.admin_token()  # refuses a bad token file before anything starts; without one, each node makes its own
    outside = redis_url or given.get("QUARRY_REDIS_URL")
    require(not (ephemeral and outside), "--ephemeral removes the chain, and --redis-url keeps it: leave one out.")
    if config_out is not None:
        new_chain.require_writable(config_out)
    wished = new_chain.wish(accounts, balance, mnemonic, mnemonic_random, chain_id)
    named = _named_chain(spec, given)
    if files.load is not None:
        for name in wished.names():
            raise Failure(f"{name} makes a chain, and a state file has its own: leave one of them out.", USAGE)
        given = {**given, **settings_of(files.load, spec or given.get("QUARRY_SPEC"), home.absolute())}
        spec, named = given["QUARRY_SPEC"], "--load-state"
        options["QUARRY_SPEC"] = (named, spec)
        settings = _settings(given, options)
    if workers is None:
        workers = default_workers() if nodes == 1 else 1
    names = [settings.node] if nodes == 1 else [f"node{number}" for number in range(1, nodes + 1)]
    show = Show(as_json, quiet, config_out, _wallets(home))
    interruption = Interruption()  # from here on, also for the directory of --ephemeral, which is removed at the end
    if until_eof:
        when_input_ends(interruption.interrupt)
    with new_chain.place(home, wished, named, ephemeral) as place:
        plans = [
            NodePlan(
                name=name,
                files=place.files_of(settings.spec.name, name),
                spec=place.spec or _spec_from_anywhere(spec or given.get("QUARRY_SPEC") or "dev"),
                host=settings.host,
                port=settings.port and settings.port + number,
                rpc_port=settings.rpc_port and settings.rpc_port + number,
                rpc_port_is_asked=rpc_port is not None or bool(given.get("QUARRY_RPC_PORT")),
                workers=workers,
                automine=settings.automine and number == 0,
                redis_url=settings.redis_url if outside else None,
                unsafe_development=settings.unsafe_development,
                load_state=files.load,
                resume=files.resume,
                dump_state=files.dump,
                # Strangers who may read the pages are not shown what this user calls the wallets.
                wallets=_wallets(home) if settings.loopback else None,
                settings=place.with_its({**given, "QUARRY_BLOCK_TIME": interval if number == 0 else ""}),
            )
            for number, name in enumerate(names)
        ]
        scrub_environment()
        router = PeerRouter(place.directory / "links.log") if links else None
        run(plans, place, show, interruption, router)
        if files.dump is not None and show.talks:
            terminal.show_if_taken(f"The state is in {files.dump}.")


def _wallets(home: Path) -> Path:
    """The directory of `quarry wallet`: of this user, or else in the data directory `home`."""
    try:
        return wallets_directory().absolute()
    except BadSettings:  # no home
        return home.absolute() / "wallets"


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
        # As in anvil: with a block time, transactions wait for it, unless something says otherwise.
        automine = str(not {**given, **said}.get("QUARRY_BLOCK_TIME", "").strip("0.")).lower()
        return load({"QUARRY_AUTOMINE": automine, **given, **home, **said})
    except BadSettings as error:
        name, colon, reason = str(error).partition(": ")
        if name in said:
            name = f"{options[name][0]} ({name})"
        elif name in home:
            name = "QUARRY_DATA_HOME"
        raise BadSettings(f"{name}{colon}{reason}") from None


def _require_mining_modes(automine: bool | None, block_time: str | None, mixed: bool, interval: bool) -> None:
    """Refuse options about mining that contradict each other. `interval`: whether there is a block time."""
    if block_time is not None:
        try:
            above = 0 < float(block_time) < float("inf")
        except ValueError:
            above = False
        require(above, "--block-time must be a number of seconds above 0, such as 2 or 0.5.")
    no_mining = automine is False
    require(not (no_mining and block_time is not None), "--block-time mines, and --no-mining does not: leave one out.")
    require(not (no_mining and mixed), "--mixed-mining mines, and --no-mining does not: leave one out.")
    require(interval or not mixed, "--mixed-mining needs --block-time: without it, every transaction is mined at once.")


def _named_chain(spec: str | None, given: Mapping[str, str]) -> str | None:
    """The option or setting that names a chain; None: there is none."""
    if spec is not None:
        return "--spec"
    return next((name for name in ("QUARRY_SPEC", "QUARRY_DEVELOPMENT_MNEMONIC_FILE") if given.get(name)), None)


def _spec_from_anywhere(spec: str) -> str:
    """The name of a built-in spec, or a file's absolute path, since the processes may have other directories."""
    return spec if spec in BUILT_IN_SPECS else str(expanded(spec).absolute())
