"""`quarry chain tips`: the ends of all branches that a node knows."""

from typing import Any

import click

from api.cli.moments import ago
from api.cli.options import Target, with_node
from api.cli.table import Column, table


@click.command()
@with_node
def tips(target: Target) -> None:
    """Show the end of every branch that the node knows: the active one first.

    fork: valid blocks that are not on the chain. headers: blocks that the node does not have. invalid: a refused block,
    and the rule that it breaks.
    """
    found = target.client.get("/tips")
    rows = found["tips"]
    now = target.client.get("/status").get("time") if any(item["first_seen"] for item in rows) else None
    columns = [
        Column("STATE"),
        Column("HEIGHT", right=True),
        Column("TIP"),
        Column("FORK POINT", right=True),
        Column("SEEN"),
        Column("WHY"),
    ]
    target.show(found, *table(columns, [_row(item, now) for item in rows]))


def _row(item: dict[str, Any], now: Any) -> list[str]:
    fork, peers = item["fork"], item["peers"]
    unproven = "" if item["proven"] else f"{peers[0] if peers else 'a peer'} says so"
    return [
        str(item["state"]),
        str(item["height"]),
        str(item["hash"]),
        "" if fork is None else str(fork["height"]),
        "" if item["first_seen"] is None else ago(item["first_seen"], now),
        str(item["rule"] or unproven),
    ]
