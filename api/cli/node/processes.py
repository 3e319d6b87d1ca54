"""`quarry api`, `quarry rpc`, `quarry worker`, `quarry ticker`: run one process of a node.

API and door run in this process: the imports of `api.server` and `api.door.server` are the only ones from the command
line to a server. Worker and ticker replace this process.
"""

import os

import click

from api.cli.group import USAGE, Failure
from api.cli.options import require
from services.system.loading import keep, uncollected
from services.system.programs import do_without_rich, module_command, module_path


@click.command()
def api() -> None:
    """Run the HTTP server until SIGTERM or Ctrl-C. Settings come from the environment (QUARRY_…)."""
    do_without_rich()
    with uncollected():
        from api.server import serve
        from services.settings.table import load
    keep()
    serve(load(os.environ))


@click.command()
def rpc() -> None:
    """Run JSON-RPC over HTTP and WebSocket until SIGTERM or Ctrl-C. Settings come from the environment (QUARRY_…)."""
    do_without_rich()
    with uncollected():
        from api.door.server import serve
        from services.settings.table import load
    keep()
    serve(load(os.environ))


@click.command()
@click.option("--queue", required=True, type=click.Choice(["mining", "network"]), help="The queue to take jobs from.")
@click.option(
    "--hash-rate",
    metavar="RATE",
    help="The most hashes per second of this worker, such as 800k or 1.5MH/s. [default: QUARRY_HASH_RATE, or no limit]",
)
def worker(queue: str, hash_rate: str | None) -> None:
    """Run one worker on one queue until SIGTERM or Ctrl-C. Settings come from the environment (QUARRY_…)."""
    variables = {}
    if hash_rate is not None:
        require(queue == "mining", "--hash-rate is for a worker of the queue mining.")
        from services.settings import values

        values.named("--hash-rate", lambda text: values.hash_rate(values.clean(text)), hash_rate)
        variables["QUARRY_HASH_RATE"] = hash_rate
    _become("worker", "--queue", queue, **variables)


@click.command()
def ticker() -> None:
    """Run the ticker, which enqueues scheduled jobs and does the housekeeping.

    Settings come from the environment (QUARRY_…).
    """
    _become("ticker")


def _become(*arguments: str, **variables: str) -> None:
    """Replace this process by `python -m worker`. It keeps its process id, so a supervisor's signals still reach it."""
    command = module_command("worker", *arguments)
    try:
        os.execve(command[0], command, {**os.environ, **module_path(os.environ), **variables})
    except OSError as error:
        raise Failure(f"{command[0]} cannot be started: {error.strerror}.", USAGE) from None
