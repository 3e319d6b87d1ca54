"""`quarry tx`: look up a transaction."""

import json
from typing import Any

import click

from api.cli.group import Failure
from api.cli.lookup import find_transaction
from api.cli.moments import moment
from api.cli.options import Target, with_node
from api.cli.wallet.names import Names

_TIMES = ("admitted_at", "at")  # Unix seconds


@click.command()
@with_node
@click.argument("identifier", metavar="ID")
def tx(target: Target, identifier: str) -> None:
    """Look up the transaction ID, or the one whose id begins with these digits. `quarry send` prints ids."""
    name = find_transaction(target.client, identifier)
    found = target.client.find(f"/transactions/{name}")
    if found is None:
        if target.client.find(f"/blocks/{name}") is not None:
            raise Failure(f"That is the hash of a block: `quarry chain show {name}` shows it.")
        raise Failure("The node has no transaction with this id.")
    names = Names(target.client.url)
    shown = {name: value for name, value in found.items() if name != "missing_nonces"}  # `waits_for` has them in words
    target.show(found, *(f"{name:14}{_text(name, value, names)}" for name, value in shown.items()))


def _text(name: str, value: Any, names: Names) -> str:
    if isinstance(value, str):
        return names.beside(value)
    text = json.dumps(value)
    return f"{text} ({moment(value)})" if name in _TIMES else text
