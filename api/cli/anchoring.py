"""`quarry anchor` and `quarry verify-anchor`: show that a file existed, to anybody, without showing the file."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from api.cli import anchors, walletstore
from api.cli.client import NodeClient
from api.cli.group import USAGE, Failure
from api.cli.options import Target, json_option, with_node
from api.cli.progress import line
from api.cli.spending import submit_transfer
from shared.amounts import parse_amount

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_MAX_PROOF = 2**20


@click.command()
@with_node
@click.argument("file", type=_FILE)
@click.option("--from", "sender", default=walletstore.NODE, show_default=True, help="The wallet that pays and signs.")
@click.option("--fee", help="What the miner gets. [default: the least that the node takes]")
@click.option("--proof", type=click.Path(path_type=Path), help="Where to write the proof. [default: beside FILE]")
@click.option("--wait", default=120.0, show_default=True, type=click.FloatRange(0, 86400), help="Seconds to be mined.")
def anchor(target: Target, file: Path, sender: str, fee: str | None, proof: Path | None, wait: float) -> None:
    """Put FILE's SHA-256 digest into a transaction, and write the proof that a block holds it."""
    client = target.client
    fee_units = None if fee is None else parse_amount(fee, field="--fee")
    signer = walletstore.open_wallet(sender)
    data = anchors.digest_text(file)
    path = proof or anchors.proof_path(file)
    if path.exists():
        raise Failure(f"There is a proof at {path} already; name another place with --proof.")
    sent = submit_transfer(client, signer, signer.address, 0, fee=fee_units, data=data)
    with line(quiet=target.as_json) as say:
        say(f"waiting for a block with transaction {sent['id']}")
        client.transaction_until_mined(sent["id"], wait)
    made = anchors.make_proof(file, client.get("/spec"), client.get(f"/transactions/{sent['id']}/proof"))
    found = anchors.verify(data, made)  # a node's word is not enough: what is written must verify
    _write(path, made)
    value = {"digest": data, "proof": str(path), "transaction": sent["id"], "block": found.block, "index": found.height}
    target.show(value, f"{data}\nis in block {found.height}, {found.block}\nproof: {path}")


@click.command(name="verify-anchor")
@click.argument("file", type=_FILE)
@click.option("--proof", type=_FILE, help="The proof. [default: beside FILE]")
@click.option("--block", metavar="HASH", help="The hash that you know the block to have.")
@click.option("--url", help="Also ask this node whether the block is on its chain.")
@json_option
def verify_anchor(file: Path, proof: Path | None, block: str | None, url: str | None, as_json: bool) -> None:
    """Verify, offline, that FILE's digest is in the block that its proof names.

    A proof is worth what its block is: compare the hash with one that you trust, by --block or --url.
    """
    path = proof or anchors.proof_path(file)
    if not path.is_file():
        raise Failure(f"There is no proof at {path}; name it with --proof.", USAGE)
    found = anchors.verify(anchors.digest_text(file), _read(path))
    compared = []
    if block is not None:
        if block.lower().removeprefix("0x") != found.block:
            raise Failure(f"The proof is for block {found.block}, which is not the one that you named.")
        compared.append("it is the block that you named")
    if url is not None:
        _ask(url, found)
        compared.append(f"it is on the chain of the node at {url}")
    if as_json:
        click.echo(json.dumps({"valid": True, "compared": bool(compared), **_fields(found)}))
        return
    when = datetime.fromtimestamp(found.timestamp, UTC).isoformat(timespec="seconds")
    click.echo(f"{file} is anchored by {found.sender} in block {found.height} of the chain {found.chain}, {when}.")
    click.echo(f"Block   {found.block}")
    click.echo(f"Genesis {found.genesis}")
    if compared:
        click.echo(f"Compared: {' and '.join(compared)}.")
    else:
        click.echo(
            "Compare this block hash with one that you trust (--block HASH, or --url NODE): until then the proof"
        )
        click.echo(f"shows only that somebody spent about {found.difficulty} hashes on it.")


def _ask(url: str, found: anchors.Anchor) -> None:
    client = NodeClient(url)
    block = client.find(f"/blocks/{found.height}")
    if block is None or block["hash"] != found.block:
        raise Failure(f"The node at {url} has another block at height {found.height}, or none.")


def _fields(found: anchors.Anchor) -> dict[str, Any]:
    return {name: getattr(found, name) for name in found.__dataclass_fields__}


def _read(path: Path) -> Any:
    with path.open("rb") as file:
        text = file.read(_MAX_PROOF + 1)
    try:
        if len(text) > _MAX_PROOF:
            raise ValueError
        return json.loads(text)
    except (ValueError, RecursionError):
        raise anchors.BadAnchor(f"{path} is not a proof: it is not JSON.") from None


def _write(path: Path, proof: dict[str, Any]) -> None:
    new = path.with_name(path.name + ".new")
    with new.open("w", encoding="utf-8") as file:
        json.dump(proof, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
