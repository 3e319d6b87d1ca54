"""`quarry tx`: look up a transaction."""

import json
from typing import Any

import click

from api.cli.group import Failure
from api.cli.options import Target, with_node
from api.cli.wallet.transfers import transaction_id


@click.command()
@with_node
@click.argument("identifier", metavar="ID")
def tx(target: Target, identifier: str) -> None:
    """Look up the transaction ID: 64 hexadecimal digits, as `quarry send` prints them."""
    found = target.client.find(f"/transactions/{transaction_id(identifier)}")
    if found is None:
        raise Failure("The node has no transaction with this id.")
    target.show(found, *(f"{name:14}{_text(value)}" for name, value in found.items()))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
