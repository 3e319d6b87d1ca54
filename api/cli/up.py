"""`quarry up`: a whole node on this machine, until Ctrl-C."""

import json
import os
import signal
import threading
from pathlib import Path
from types import FrameType

import click

from api.cli.group import INTERRUPTED, USAGE, Failure
from api.cli.options import require
from services import logs
from services.launch.launcher import Launch, LaunchFailed, PortInUse, RunningNode, default_workers
from services.launch.node_files import data_home, node_files
from services.launch.node_plan import NodePlan, passed_settings
from services.launch.programs import scrub_environment
from services.settings import load_spec
from services.wallet.development import ACCOUNTS

NODE = "node1"
MAX_NODES = 16
_MAX_PORT = 65535


@click.command()
@click.option("--spec", default="dev", show_default=True, metavar="NAME|FILE", help="The chain spec.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where keys, chain and logs are kept. [default: QUARRY_DATA_HOME, or ~/.quarry]",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    default=5000,
    show_default=True,
    type=click.IntRange(0, _MAX_PORT),
    help="The first node's; the others take the next ones. 0: any that are free.",
)
@click.option(
    "--nodes", default=1, show_default=True, type=click.IntRange(1, MAX_NODES), help="How many nodes, connected."
)
@click.option(
    "--workers",
    type=click.IntRange(0, 256),
    help="Mining workers of each node. [default: one per core; with several nodes one]",
)
@click.option("--redis-url", help="A Redis or Valkey (7 or later) to use instead of an embedded one.")
@click.option("--no-automine", is_flag=True, help="Mine only when asked, not whenever a transaction waits.")
@click.option("--unsafe-development", is_flag=True, help="Let a development chain be reached from other machines.")
@click.option("--json", "as_json", is_flag=True, help="When ready, print one line of JSON and nothing else.")
def up(
    spec: str,
    data_dir: Path | None,
    host: str,
    port: int,
    nodes: int,
    workers: int | None,
    redis_url: str | None,
    no_automine: bool,
    unsafe_development: bool,
    as_json: bool,
) -> None:
    """Start nodes with all they need: Valkey, API, mining workers, network worker, ticker. Ctrl-C stops everything.

    Several nodes (--nodes) are a network: each has keys, a store and a chain of its own, and all others as peers. The
    first is the one that the other commands talk to, and the only one that mines without being asked.
    """
    settings = passed_settings(os.environ)
    if nodes > 1:
        require(redis_url is None, "--redis-url is for one node; with --nodes each has a store of its own.")
        require("QUARRY_PUBLIC_URL" not in settings, "QUARRY_PUBLIC_URL names one node; unset it for --nodes.")
        require(port + nodes - 1 <= _MAX_PORT, f"--port {port} leaves no ports for {nodes} nodes.")
    home = (data_dir or data_home(os.environ)).expanduser().absolute()
    logs.configure("warning", "console")
    chain = load_spec(spec).name
    if workers is None:
        workers = default_workers() if nodes == 1 else 1
    plans = [
        NodePlan(
            name=name,
            files=node_files(home, chain, name),
            spec=spec if not Path(spec).is_file() else str(Path(spec).absolute()),
            host=host,
            port=port and port + number,
            workers=workers,
            automine=not no_automine and number == 0,
            redis_url=redis_url,
            unsafe_development=unsafe_development,
            settings=settings,
        )
        for number, name in enumerate(f"node{number}" for number in range(1, nodes + 1))
    ]
    scrub_environment()
    interruption = Interruption()
    launch = Launch(plans)
    try:
        with interruption.may_raise():
            launch.start()
        for node in launch.nodes:
            if node.fault:
                click.echo(f"quarry: {node.plan.name}: {node.fault}", err=True)
        line = json.dumps(launch.to_object(home)) if as_json else _welcome(launch)
        click.echo(line)
        launch.run(interruption.event)
        if not as_json:
            click.echo("Stopping …")
    except PortInUse as error:
        raise Failure(str(error), USAGE) from None
    except LaunchFailed as error:
        for text in error.tail:
            click.echo(f"  {text}", err=True)
        raise
    except KeyboardInterrupt:
        raise Failure("Interrupted while starting; everything was stopped.", INTERRUPTED) from None
    finally:
        launch.stop()


class Interruption:
    """Ctrl-C, SIGTERM and SIGHUP: an exception while starting, later an event. A second one hurries the end."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self._raises = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._received)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup asked to outlive the terminal
            signal.signal(signal.SIGHUP, self._received)

    def may_raise(self) -> "Interruption":
        """While the block runs, a signal is a KeyboardInterrupt: it may wait for minutes for nothing else."""
        return self

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


def _welcome(launch: Launch) -> str:
    first = launch.nodes[0]
    spec = first.settings.spec
    lines = [
        f"{_names(launch)} up: chain {spec.name} (id {spec.chain_id}), {first.plan.workers} mining worker(s)"
        f"{' each' if launch.nodes[1:] else ''}.",
        "",
    ]
    for node in launch.nodes:
        lines += _shown(node, only=len(launch.nodes) == 1)
    if spec.development and spec.allocations:
        lines += ["Development accounts. Everybody knows these keys: use them nowhere else.", ""]
        lines += [f"  {account.address}  {account.private_key}" for account in ACCOUNTS]
        lines += [""]
    lines += ["In another terminal: quarry status · quarry mine · quarry wallet new alice"]
    lines += ["Ctrl-C stops everything."]
    return "\n".join(lines)


def _names(launch: Launch) -> str:
    first, *others = launch.nodes
    return f"{first.plan.name} to {others[-1].plan.name} are" if others else f"{first.plan.name} is"


def _shown(node: RunningNode, *, only: bool) -> list[str]:
    wallet = "node" if node.plan.name == NODE else node.plan.name
    return [
        *([] if only else [node.plan.name]),
        f"  API         {node.url}      documentation: {node.url}/docs",
        f"  Explorer    {node.url}/",
        f"  Jobs        {node.url}/rq   user: any, password: in {node.plan.files.admin_token}",
        f"  Address     {node.address}  (wallet: {wallet})",
        f"  Data        {node.plan.files.directory}",
        "",
    ]
