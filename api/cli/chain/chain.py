"""`quarry chain`: show, verify, export and import."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import click

from api.cli import terminal
from api.cli.chain.chain_file import export_chain, import_chain
from api.cli.chain.comparison import compare_ledger, compare_store, store_of, told
from api.cli.chain.verification import Verified, verify_chain
from api.cli.group import Failure
from api.cli.options import Target, json_option, redis_url_option, with_node
from api.cli.progress import bar
from services.store.faults import Finding
from services.system.files import writing
from shared.amounts import format_amount
from shared.chain_spec import ChainSpec


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
@redis_url_option(
    "--redis-url",
    "QUARRY_REDIS_URL",
    "The node's store, to compare every record in it. [default: that of the node of `quarry up` that runs here]",
)
def verify(target: Target, spec: str | None, redis_url: str | None) -> None:
    """Recompute everything: every hash, proof, root, signature, rule and balance, from genesis to the tip.

    Then compare what the node has stored with that: its ledger, and where its store can be reached (--redis-url) every
    record: undo records, headers, heights, ids, indexes and histories too. What differs is named; `quarry repair` mends
    it.
    """
    from services.settings.table import load_spec

    wanted = target.client.spec() if spec is None else load_spec(spec)
    with bar("verifying", quiet=target.as_json, unit="blocks") as advance:
        result = verify_chain(target.client, wanted, advance)
    replay = result.replay
    tip = replay.tip
    assert tip is not None, "a chain that was verified has a genesis block"
    findings, looked_at = _compare(target, result, wanted, redis_url)
    if findings:
        if target.as_json:
            terminal.show_json({"valid": False, "findings": [asdict(finding) for finding in findings]})
        terminal.say(*told(findings))
        raise Failure(
            f"The blocks are valid, but what the node has stored differs from what they give in {len(findings)} "
            "record(s): quarry repair makes it right."
        )
    found = {
        "valid": True,
        "height": tip.index,
        "tip": tip.hash,
        "chainwork": replay.chainwork,
        "transactions": result.transactions,
        "accounts": len(replay.accounts),
        "supply": format_amount(replay.supply),
        "compared": looked_at,
    }
    target.show(
        found,
        f"The chain is valid: {tip.index} blocks, {result.transactions} transactions, {found['accounts']} accounts, "
        f"supply {found['supply']}.",
        f"Tip {tip.hash}, chainwork {replay.chainwork}.",
        _COMPARED[looked_at],
    )


_COMPARED = {
    "store": "Every record in the node's store is what these blocks give.",
    "ledger": "Its stored accounts and allowances are what these blocks give; --redis-url compares all records.",
    "nothing": "What it has stored could not be compared: this release of it does not show its ledger.",
}


def _compare(
    target: Target, result: Verified, spec: ChainSpec, redis_url: str | None
) -> tuple[list[Finding], Literal["store", "ledger", "nothing"]]:
    """What the node has stored otherwise than its blocks give it, and how much of it could be looked at."""
    client = target.client
    status = client.get("/status")
    url = redis_url or store_of(client)
    genesis = status.get("genesis")
    if url is not None and genesis is not None:
        with bar("comparing", quiet=target.as_json, unit="blocks") as advance:
            findings = compare_store(url, status["node"], spec, genesis, advance)
        if findings is not None:
            return findings, "store"
    found = compare_ledger(client, result.replay)
    known = status.get("ledger", {"state": "ok"})
    if not found and known["state"] != "ok":  # the node knows of more than it shows
        listed = [Finding(**item) for item in known["findings"]]
        return listed or [Finding("state", "of the node", str(known["detail"]), "")], "ledger"
    return found or [], "nothing" if found is None else "ledger"


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
    from services.system import logs

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
