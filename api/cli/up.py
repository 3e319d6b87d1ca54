"""`quarry up`: a whole node on this machine, until Ctrl-C."""

import json
import os
import signal
import threading
from pathlib import Path
from types import FrameType

import click

from api.cli.group import INTERRUPTED, USAGE, Failure
from services import logs
from services.development import ACCOUNTS
from services.launcher import Launch, LaunchFailed, NodePlan, PortInUse, default_workers, passed_settings
from services.node_files import data_home, node_files
from services.programs import scrub_environment
from services.settings import load_spec

NODE = "node1"


@click.command()
@click.option("--spec", default="dev", show_default=True, metavar="NAME|FILE", help="The chain spec.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where keys, chain and logs are kept. [default: QUARRY_DATA_HOME, or ~/.quarry]",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=5000, show_default=True, type=click.IntRange(0, 65535), help="0: any that is free.")
@click.option(
    "--workers", type=click.IntRange(0, 256), default=default_workers, help="Mining workers. [default: one per core]"
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
    workers: int,
    redis_url: str | None,
    no_automine: bool,
    unsafe_development: bool,
    as_json: bool,
) -> None:
    """Start a node with everything it needs: Valkey, API, mining workers, network worker, ticker. Ctrl-C stops it."""
    home = (data_dir or data_home(os.environ)).expanduser().absolute()
    logs.configure("warning", "console")
    plan = NodePlan(
        name=NODE,
        files=node_files(home, load_spec(spec).name, NODE),
        spec=spec if not Path(spec).is_file() else str(Path(spec).absolute()),
        host=host,
        port=port,
        workers=workers,
        automine=not no_automine,
        redis_url=redis_url,
        unsafe_development=unsafe_development,
        settings=passed_settings(os.environ),
    )
    scrub_environment()
    interruption = Interruption()
    launch = Launch([plan])
    try:
        with interruption.may_raise():
            launch.start()
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
    node = launch.nodes[0]
    spec = node.settings.spec
    lines = [
        f"{node.plan.name} is up: chain {spec.name} (id {spec.chain_id}), {node.plan.workers} mining worker(s).",
        "",
        f"  API         {node.url}      documentation: {node.url}/docs",
        f"  Explorer    {node.url}/",
        f"  Jobs        {node.url}/rq   user: any, password: in {node.plan.files.admin_token}",
        f"  Address     {node.address}  (wallet: node)",
        f"  Data        {node.plan.files.directory}",
    ]
    if spec.development and spec.allocations:
        lines += ["", "Development accounts. Everybody knows these keys: use them nowhere else.", ""]
        lines += [f"  {account.address}  {account.private_key}" for account in ACCOUNTS]
    lines += ["", "In another terminal: quarry status · quarry mine · quarry wallet new alice"]
    lines += ["Ctrl-C stops everything."]
    return "\n".join(lines)
