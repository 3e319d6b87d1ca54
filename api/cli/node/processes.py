"""The processes of a node, one by one: `api` here, `worker` and `ticker` by becoming their own program."""

import os

import click

from api.cli.group import USAGE, Failure
from services.system.programs import do_without_rich, module_command, module_path


@click.command()
def api() -> None:
    """Run the HTTP server until it is told to stop. Settings come from the environment (QUARRY_…)."""
    do_without_rich()
    from api.server import serve
    from services.settings.table import load

    serve(load(os.environ))


@click.command()
@click.option("--queue", required=True, type=click.Choice(["mining", "network"]), help="Which jobs it takes.")
def worker(queue: str) -> None:
    """Run one worker on one queue until it is told to stop. Settings come from the environment (QUARRY_…)."""
    _become("worker", "--queue", queue)


@click.command()
def ticker() -> None:
    """Run the ticker, which enqueues scheduled jobs and keeps house. Settings come from the environment (QUARRY_…)."""
    _become("ticker")


def _become(*arguments: str) -> None:
    """Go on as `python -m worker`: the same process, so signals and supervision stay; and no import crosses."""
    command = module_command("worker", *arguments)
    try:
        os.execve(command[0], command, {**os.environ, **module_path(os.environ)})
    except OSError as error:
        raise Failure(f"{command[0]} cannot be started: {error.strerror}.", USAGE) from None
