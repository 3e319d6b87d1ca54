"""`quarry verify-anchor`: check the proof of a file's anchor, without a node."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from api.cli import terminal
from api.cli.chain import anchor_proof
from api.cli.client import NodeClient
from api.cli.group import USAGE, Failure
from api.cli.options import json_option, require
from api.cli.wallet.names import Names
from services.system.text_files import read_text_file
from shared import wire
from shared.errors import InputError
from shared.hashing import is_hash

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(name="verify-anchor")
@click.argument("file", type=_FILE)
@click.option("--proof", type=_FILE, help="The proof. [default: beside FILE]")
@click.option("--block", metavar="HASH", help="A block hash that you trust: the proof's block must have it.")
@click.option("--url", help="A node that you trust: the proof's block must be on its chain.")
@json_option
def verify_anchor(file: Path, proof: Path | None, block: str | None, url: str | None, as_json: bool) -> None:
    """Verify, offline, that the block in FILE's proof holds FILE's digest.

    The proof alone does not show that the block is on the chain: compare its hash with one that you trust (--block), or
    ask a node that you trust (--url).
    """
    require(
        block is None or is_hash(block.lower().removeprefix("0x")),
        "--block needs the whole hash, 64 hexadecimal digits: a forged block could have the same first ones.",
    )
    path = proof or anchor_proof.proof_path(file)
    if not path.is_file():
        raise Failure(f"There is no proof at {path}; name the proof's file with --proof.", USAGE)
    found = anchor_proof.verify(anchor_proof.digest_text(file), _read(path))
    compared = []
    if block is not None:
        if block.lower().removeprefix("0x") != found.block:
            raise Failure(f"The proof is for the block {found.block}, not for the one that you named with --block.")
        compared.append("the block has the hash that you named")
    if url is not None:
        _require_on_chain(url, found, as_json)
        compared.append(f"the block is on the chain of the node at {url}")
    if as_json:
        terminal.show_json({"valid": True, "compared": bool(compared), **asdict(found)})
        return
    terminal.show(
        f"{file} is anchored in block {found.height} of the chain {found.chain}.",
        f"Sender  {Names().beside(found.sender)}",
        f"Time    {_moment(found.timestamp)}",
        f"Block   {found.block}",
        f"Genesis {found.genesis}",
    )
    if compared:
        terminal.show(f"Compared: {', and '.join(compared)}.")
    else:
        terminal.show(
            "Compare this block hash with one that you trust: --block HASH or --url NODE.",
            f"Until then, the proof shows only that its block cost about {found.difficulty} hashes.",
        )


def _moment(timestamp: int | float) -> str:
    """A block's timestamp as a date; as a number if it is outside the calendar."""
    try:
        return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return f"{timestamp} Unix seconds"


def _require_on_chain(url: str, found: anchor_proof.Anchor, as_json: bool) -> None:
    block = NodeClient(url, quiet=as_json).find(f"/blocks/{found.height}")
    if block is None or block["hash"] != found.block:
        raise Failure(f"The chain of the node at {url} does not have this block at height {found.height}.")


def _read(path: Path) -> Any:
    text = read_text_file(path, limit=anchor_proof.MAX_BYTES)
    try:
        return wire.parse(text, floats=True)
    except InputError:
        raise anchor_proof.BadAnchor(f"{path} is not a proof: it is not JSON.") from None
