"""`quarry fork`: have the node replace its last blocks by another branch."""

from typing import Any

import click

from api.cli.group import Failure
from api.cli.lookup import find_transaction
from api.cli.options import Target, with_node

# Seconds: the node gives up before (services/development/forks.py).
_LONGEST = 330.0


@click.command()
@with_node
@click.option(
    "--depth", default=1, show_default=True, type=click.IntRange(1, 1000), help="How many blocks are replaced."
)
@click.option("--drop", metavar="ID", multiple=True, help="Leave a transaction out, of the mempool too. Repeatable.")
@click.option("--include", metavar="ID", multiple=True, help="Take this transaction first. Repeatable.")
def fork(target: Target, depth: int, drop: tuple[str, ...], include: tuple[str, ...]) -> None:
    """Replace the last blocks of a development chain by another branch that the workers mine."""
    options = {
        "depth": depth,
        "drop": [f"0x{find_transaction(target.client, item, '--drop')}" for item in drop],
        "include": [f"0x{find_transaction(target.client, item, '--include')}" for item in include],
    }
    request = {"jsonrpc": "2.0", "id": 1, "method": "quarry_fork", "params": [options]}
    answer: Any = target.client.post("/rpc", request, timeout=_LONGEST)
    result = answer.get("result") if isinstance(answer, dict) else None
    try:
        height, detached = int(result["forkBlock"], 16), len(result["detached"])  # type: ignore[index] # checked here
        attached = [str(item).removeprefix("0x") for item in result["attached"]]  # type: ignore[index]
    except (TypeError, KeyError, ValueError):
        raise Failure(_reason(answer)) from None
    target.show(
        result,
        f"{detached} block(s) above block {height} were replaced by {len(attached)}:",
        *(f"Block {height + 1 + number}: {item}" for number, item in enumerate(attached)),
    )


def _reason(answer: Any) -> str:
    error = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(error, dict):
        return "The node's answer is not one to a fork."
    if error.get("code") == -32601:
        return "This node has no forks on demand: they exist on a development chain whose node binds to loopback."
    return str(error.get("message"))
