"""`quarry lab`: break a network and watch it heal."""

import os

import click

from api.cli.group import USAGE, Failure
from services.system.programs import module_command, module_path


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def lab(arguments: tuple[str, ...]) -> None:
    """Break a network, real or simulated, and watch it heal.

    \b
    up        start a network, and a page to break it from
    list      list the built-in scenarios
    simulate  run a scenario on simulated nodes
    run       run a scenario on real nodes
    grade     measure what a mining strategy in a file earns
    replay    print what happened in a recording
    export    write a recording as one HTML file

    `quarry lab COMMAND --help` says more.
    """
    become("lab", arguments)


def become(module: str, arguments: tuple[str, ...]) -> None:
    """Have this process become a program of the lab, which stands above the command line and is not imported by it.

    Raises:
        Failure: it cannot be started.
    """
    command = module_command(module, *arguments)
    try:
        os.execve(command[0], command, {**os.environ, **module_path(os.environ)})
    except OSError as error:
        raise Failure(f"{command[0]} cannot be started: {error.strerror}.", USAGE) from None
