"""`quarry chain`: show, verify, export and import."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import click

from api.cli import terminal
from api.cli.chain.chain_file import export_chain, import_chain
from api.cli.chain.comparison import compare_ledger, compare_store, finding_lines
from api.cli.chain.pruned import verify_kept
from api.cli.chain.show import show
from api.cli.chain.stores import configured_spec, store_of
from api.cli.chain.tips import tips
from api.cli.chain.verification import BlockBroken, Verified, verify_chain
from api.cli.client import Refused
from api.cli.group import Failure
from api.cli.options import Target, json_option, redis_url_option, with_node
from api.cli.progress import bar
from api.cli.suggestions import Group
from services.store.faults import Finding
from services.system.files import writing
from shared.amounts import format_amount
from shared.chain_spec import ChainSpec


@click.group(cls=Group)
def chain() -> None:
    """Show, verify, export and import the chain, and list the tips of all branches."""


chain.add_command(show)
chain.add_command(tips)


@chain.command()
@with_node
@click.option(
    "--spec",
    metavar="NAME|FILE",
    help="The chain spec to check against, with the upgrades of QUARRY_UPGRADES_FILE. [default: what the node serves]",
)
@redis_url_option(
    "--redis-url",
    "QUARRY_REDIS_URL",
    "The node's store, to compare every record in it. [default: for a node of `quarry up` on this machine, its own]",
)
def verify(target: Target, spec: str | None, redis_url: str | None) -> None:
    """Check the whole chain, and what the node has stored.

    Every hash, proof, root, signature, rule and balance is recomputed, from genesis to the tip. The result is then
    compared with what the node has stored: with its accounts and allowances, or, if its store can be reached
    (--redis-url), with every record, including undo records, headers, heights, ids, indexes and histories. Records that
    differ are listed; `quarry repair` corrects them. Of blocks whose bodies the node has pruned, headers are checked.
    """
    wanted = target.client.rules_spec() if spec is None else configured_spec(spec)
    try:
        _verify(target, wanted, redis_url)
    except BlockBroken as error:
        # Only by the node's own spec: by another one, or with other upgrades, a sound chain may be broken.
        if spec is None and _compare(target, None, wanted, redis_url)[0]:
            raise Failure(
                f"{error} The node neither admits nor mines until that is mended: see `quarry repair`."
            ) from None
        raise


def _verify(target: Target, wanted: ChainSpec, redis_url: str | None) -> None:
    try:
        with bar("verifying", quiet=target.as_json, unit="blocks") as advance:
            result = verify_chain(target.client, wanted, advance)
    except Refused as error:
        if error.code != "pruned":
            raise
        _verify_kept(target, wanted, redis_url)
        return
    replay = result.replay
    tip = replay.tip
    assert tip is not None, "a verified chain has a genesis block"
    findings, looked_at = _compare(target, result, wanted, redis_url)
    _require_none(
        target,
        findings,
        f"The blocks are valid, but {len(findings)} record(s) that the node has stored differ from what the blocks "
        "give; `quarry repair` corrects them.",
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
        f"The chain is valid: {tip.index} blocks, {result.transactions} transactions, {found['accounts']} accounts.",
        f"Tip {tip.hash}",
        f"Chainwork {replay.chainwork}, supply {found['supply']}",
        *_COMPARED[looked_at].splitlines(),
    )


def _require_none(target: Target, findings: list[Finding], sentence: str) -> None:
    """Show what differs in the store, if anything does. Raises: Failure, with the sentence."""
    if findings:
        if target.as_json:
            terminal.show_json({"valid": False, "findings": [asdict(finding) for finding in findings]})
        terminal.say(*finding_lines(findings))
        raise Failure(sentence)


def _verify_kept(target: Target, wanted: ChainSpec, redis_url: str | None) -> None:
    """Verify what a node that prunes has of its chain."""
    with bar("verifying", quiet=target.as_json, unit="blocks") as advance:
        part = verify_kept(target.client, wanted, advance)
    findings, looked_at = _compare(target, None, wanted, redis_url)
    _require_none(
        target,
        findings,
        f"The blocks that the node has are valid, but {len(findings)} record(s) that it has stored differ from them. "
        "Since it has removed the bodies of older blocks, `quarry repair` cannot correct that: fetch the chain anew.",
    )
    target.show(
        {"valid": True, **asdict(part), "compared": looked_at},
        f"What this node has of its chain is valid: the headers of {part.height} blocks, and the bodies from height "
        f"{part.kept_from} on with {part.transactions} transactions. It has removed older bodies (QUARRY_KEEP).",
        f"Tip {part.tip}",
        f"Chainwork {part.chainwork}",
        *(_COMPARED_KEPT[looked_at]).splitlines(),
    )


_COMPARED_KEPT = {
    "store": "The node's store was compared: every balance that these blocks change is what they give.",
    "nothing": "Balances were not checked, since the ledger before these blocks is not known here.\n"
    "To check them, name the store with --redis-url.",
}

_COMPARED = {
    "store": "Every record in the node's store is what these blocks give.",
    "ledger": "The node's accounts and allowances are what these blocks give.\n"
    "To compare every record in its store, name the store with --redis-url.",
    "nothing": "What the node has stored was not compared: its release does not show it.",
}


def _compare(
    target: Target, result: Verified | None, spec: ChainSpec, redis_url: str | None
) -> tuple[list[Finding], Literal["store", "ledger", "nothing"]]:
    """The records that differ from what the blocks give, and which records could be compared.

    Args:
        result: None: there is no replay of the whole chain.
    """
    client = target.client
    status = client.get("/status")
    url = redis_url or store_of(client)
    genesis = status.get("genesis")
    if url is not None and genesis is not None:
        with bar("comparing", quiet=target.as_json, unit="blocks") as advance:
            findings = compare_store(url, status["node"], spec, genesis, advance)
        if findings is not None:
            return findings, "store"
    found = compare_ledger(client, result.replay) if result is not None else None
    known = status.get("ledger", {"state": "ok"})
    if not found and known["state"] != "ok":  # the node knows of a difference that its ledger does not show
        listed = [Finding(**item) for item in known["findings"]]
        return listed or [Finding("state", "of the node", str(known["detail"]), "")], "ledger"
    return found or [], "nothing" if found is None else "ledger"


@chain.command()
@with_node
@click.argument("file", type=click.Path(allow_dash=True, path_type=Path, dir_okay=False))
def export(target: Target, file: Path) -> None:
    """Write the chain to FILE (- for standard output).

    The file has a line of JSON for the chain spec, then one for each block.
    """
    if str(file) == "-":
        output = terminal.standard_output()
        height = export_chain(target.client, output, lambda done, total: None)
        output.flush()
        terminal.say(f"{height} blocks exported.")
        return
    # `writing` gives the file its name only at the end, so a file of that name is always complete.
    with writing(file) as output, bar("exporting", quiet=target.as_json, unit="blocks") as advance:
        height = export_chain(target.client, output, advance)
    target.show({"file": str(file), "height": height}, f"{height} blocks exported to {file}.")


@chain.command(name="import")
@click.argument("file", type=click.Path(allow_dash=True, path_type=Path, dir_okay=False))
@redis_url_option(
    "--redis-url", "QUARRY_REDIS_URL", "The node's store. [default: that of the node in the data directory]"
)
@click.option("--node", default="node1", show_default=True, help="The node's name.")
@json_option
def import_(file: Path, redis_url: str | None, node: str, as_json: bool) -> None:
    """Append the blocks of a file to a node's chain.

    FILE is what `quarry chain export` wrote; - is standard input. Every block is checked by all rules first. Without
    --redis-url, the node is the one in the data directory that follows the file's chain spec; it may be running or
    stopped. Blocks that it already has are only compared, so an interrupted import can be run again.
    """
    from services.system import logs

    logs.configure("warning", "console")
    try:
        source: Any = terminal.standard_input() if str(file) == "-" else file.open("rb")
    except OSError as error:
        raise Failure(f"{file}: {error.strerror}.") from None
    name, size = ("standard input", 0) if str(file) == "-" else (str(file), file.stat().st_size)
    with source, bar("importing", quiet=as_json, unit="bytes") as advance:
        result = import_chain(source, name, node, redis_url, lambda done: advance(done, size))
    if as_json:
        terminal.show_json({"height": result.height, "tip": result.tip, "new": result.new, "known": result.known})
    else:
        terminal.show(
            f"Imported {result.new} blocks; {result.known} were already there. Height {result.height}.",
            f"Tip {result.tip}",
        )
