"""`quarry chain`: show, verify, export and import."""

from pathlib import Path
from typing import Any

import click

from api.cli import terminal
from api.cli.chainfile import export_chain, import_chain
from api.cli.group import Failure
from api.cli.options import Target, json_option, redis_url_option, with_node
from api.cli.progress import bar
from api.cli.verification import verify_chain
from services.files import writing
from shared.amounts import format_amount


@click.group()
def chain() -> None:
    """Show, verify, export and import the chain."""


@chain.command()
@with_node
@click.option("--from", "first", type=click.IntRange(1), help="The first height. [default: the last blocks]")
@click.option("--limit", default=10, show_default=True, type=click.IntRange(1, 500), help="How many blocks.")
def show(target: Target, first: int | None, limit: int) -> None:
    """Show blocks, oldest first."""
    client = target.client
    if first is None:
        first = max(1, int(client.get("/status")["height"]) - limit + 1)
    found = client.get("/blocks", before=first + limit, limit=limit)
    blocks = [block for block in reversed(found["blocks"]) if block["index"] >= first]
    lines = [
        f"{block['index']:>8}  {block['hash']}  {block['transaction_count']:>5} transaction(s)  "
        f"{block['size']:>8} bytes  difficulty {block['difficulty']}"
        for block in blocks
    ]
    target.show({"blocks": blocks, "length": found["length"]}, *(lines or ["There are no such blocks."]))


@chain.command()
@with_node
@click.option("--spec", metavar="NAME|FILE", help="The chain spec it must follow. [default: the one the node serves]")
def verify(target: Target, spec: str | None) -> None:
    """Recompute everything: every hash, proof, root, signature, rule and balance, from genesis to the tip."""
    from services.settings import load_spec

    wanted = target.client.spec() if spec is None else load_spec(spec)
    with bar("verifying", quiet=target.as_json, unit="blocks") as advance:
        result = verify_chain(target.client, wanted, advance)
    replay = result.replay
    tip = replay.tip
    assert tip is not None, "a chain that was verified has a genesis block"
    found = {
        "valid": True,
        "height": tip.index,
        "tip": tip.hash,
        "chainwork": replay.chainwork,
        "transactions": result.transactions,
        "accounts": len(replay.accounts),
        "supply": format_amount(replay.supply),
    }
    target.show(
        found,
        f"The chain is valid: {tip.index} blocks, {result.transactions} transactions, {found['accounts']} accounts, "
        f"supply {found['supply']}.",
        f"Tip {tip.hash}, chainwork {replay.chainwork}.",
    )


@chain.command()
@with_node
@click.argument("file", type=click.Path(allow_dash=True, path_type=Path, dir_okay=False))
def export(target: Target, file: Path) -> None:
    """Write the chain to FILE (- for standard output): one JSON line for the spec, then one for each block."""
    if str(file) == "-":
        output = terminal.standard_output()
        height = export_chain(target.client, output, lambda done, total: None)
        output.flush()
        terminal.say(f"{height} blocks exported.")
        return
    # Under another name until it is whole: a file that has the name it was given is a complete one.
    with writing(file) as output, bar("exporting", quiet=target.as_json, unit="blocks") as advance:
        height = export_chain(target.client, output, advance)
    target.show({"file": str(file), "height": height}, f"{height} blocks exported to {file}.")


@chain.command(name="import")
@click.argument("file", type=click.Path(allow_dash=True, path_type=Path, dir_okay=False))
@redis_url_option("--redis-url", "QUARRY_REDIS_URL", "The store to write to. [default: the node's own]")
@click.option("--node", default="node1", show_default=True, help="The node's name in that store.")
@json_option
def import_(file: Path, redis_url: str | None, node: str, as_json: bool) -> None:
    """Append the blocks of FILE (- for standard input) to a node's chain, each after checking it by all rules.

    Without --redis-url the node is the one under the data directory that follows the file's chain spec; it may run or
    be stopped. Blocks that it has already are compared; an import that was interrupted can be run again.
    """
    from services import logs

    logs.configure("warning", "console")
    try:
        source: Any = terminal.standard_input() if str(file) == "-" else file.open("rb")
    except OSError as error:
        raise Failure(f"{file}: {error.strerror}.") from None
    size = 0 if str(file) == "-" else file.stat().st_size
    with source, bar("importing", quiet=as_json, unit="bytes") as advance:
        result = import_chain(source, node, redis_url, lambda done: advance(done, size))
    if as_json:
        terminal.show_json({"height": result.height, "tip": result.tip, "new": result.new, "known": result.known})
    else:
        terminal.show(
            f"{result.new} blocks imported, {result.known} were there; height {result.height}, tip {result.tip}."
        )
