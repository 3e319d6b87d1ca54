"""`quarry attack`: attack an application of one's own on this machine."""

import click

from api.cli.node.lab import become


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def attack(arguments: tuple[str, ...]) -> None:
    """Attack an application of your own, on this machine.

    \b
    double-spend  pay it, and undo what it has credited

    `quarry attack double-spend --help` says more.
    """
    become("lab.attack", arguments)
