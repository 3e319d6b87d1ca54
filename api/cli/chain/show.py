"""`quarry chain show`: the last blocks as a table, or one block."""

from typing import Any

import click
from click.core import ParameterSource

from api.cli import terminal
from api.cli.lookup import find_block
from api.cli.moments import ago, moment
from api.cli.options import Target, require, with_node
from api.cli.table import Column, table, that_fit
from api.cli.wallet.names import Names

_MOST = 15  # transactions of a block that are listed where standard output is no terminal


@click.command()
@with_node
@click.argument("block", required=False)
@click.option(
    "--from",
    "first",
    type=click.IntRange(1),
    help="The first block's height. [default: so that the tip is the last]",
)
@click.option("--limit", default=10, show_default=True, type=click.IntRange(1, 500), help="The number of blocks.")
def show(target: Target, block: str | None, first: int | None, limit: int) -> None:
    """Show blocks of the chain, oldest first, or one BLOCK. [default: the last 10]

    BLOCK is a height, `latest`, a hash, or the first digits of a hash.
    """
    if block is None:
        _show_blocks(target, first, limit)
        return
    given = click.get_current_context().get_parameter_source("limit") is not ParameterSource.DEFAULT
    require(first is None and not given, "--from and --limit show several blocks: leave them out, or leave out BLOCK.")
    found = find_block(target.client, block)
    target.show(found, *_lines(found, target.client.get("/status"), Names(target.client.url)))


def _show_blocks(target: Target, first: int | None, limit: int) -> None:
    client = target.client
    if first is None:
        first = max(1, int(client.get("/status")["height"]) - limit + 1)
    found = client.get("/blocks", before=first + limit, limit=limit)
    blocks = [block for block in reversed(found["blocks"]) if block["index"] >= first]
    rows = [
        [
            str(block["index"]),
            str(block["hash"]),
            moment(block["timestamp"]),
            str(block["transaction_count"]),
            str(block["size"]),
            str(block.get("difficulty", "-")),
        ]
        for block in blocks
    ]
    lines = table(_COLUMNS, rows) if rows else [f"The chain has no block {first}; it ends at block {found['length']}."]
    target.show({"blocks": blocks, "length": found["length"]}, *lines)


_COLUMNS = (
    Column("HEIGHT", right=True),
    Column("HASH", least=17),
    Column("TIME"),
    Column("TXS", right=True),
    Column("BYTES", right=True, extra=True),
    Column("DIFFICULTY", right=True, extra=True),
)


def _lines(found: dict[str, Any], status: dict[str, Any], names: Names) -> list[str]:
    transactions = found["transactions"]
    age = ago(found["timestamp"], status.get("time"))
    lines = [
        f"Block {found['index']}" + ("" if found.get("on_chain", True) else ", which is not on the chain"),
        f"  hash        {found['hash']}",
        f"  parent      {found['previous_hash']}",
        f"  time        {moment(found['timestamp'])}" + (f" ({age})" if age else ""),
        f"  confirmed   {found.get('confirmations', '-')} time(s)",
        f"  difficulty  {found.get('difficulty', '-')}, proof {found['proof']}",
        f"  size        {found.get('size', '-')} bytes",
        f"  miner       {names.beside(_miner(transactions))}",
        "",
    ]
    most = _MOST if terminal.rows() is None else that_fit(len(transactions), False, besides=len(lines) + 1)
    rows = [_row(item, names) for item in transactions[:most]]
    lines += table(_TRANSACTIONS, rows) if rows else ["No transactions."]
    if left := len(transactions) - len(rows):
        lines.append(f"… and {left:,} more transactions; --json shows all.")
    return lines


_TRANSACTIONS = (
    Column("ID", least=9),
    Column("TYPE"),
    Column("FROM", least=12),
    Column("TO", least=12),
    Column("AMOUNT", right=True),
    Column("FEE", right=True, extra=True),
)


def _row(item: dict[str, Any], names: Names) -> list[str]:
    def party(name: str) -> str:
        value = item.get(name, "-")
        return names.of(value) or str(value)

    is_reward = item.get("sender") in ("0", 0)
    return [
        str(item.get("id", "-")),
        str(item.get("type", "reward" if is_reward else "transfer")),
        "-" if is_reward else party("sender"),
        party("recipient"),
        str(item.get("amount", "-")),
        str(item.get("fee", "-")),
    ]


def _miner(transactions: list[dict[str, Any]]) -> str:
    """Who gets the reward of a block: the recipient of its first transaction."""
    return str(transactions[0].get("recipient", "-")) if transactions else "-"
