"""`quarry anchor` and `quarry verify-anchor`: show that a file existed, to anybody, without showing the file."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from api.cli import terminal
from api.cli.chain import anchor_proof
from api.cli.client import NodeClient
from api.cli.group import FAILED, USAGE, Failure
from api.cli.options import Target, json_option, require, with_node
from api.cli.progress import line
from api.cli.wallet import wallet_store
from api.cli.wallet.transfers import submit_transfer, transaction_id, until_mined
from services.system.files import writing
from services.system.text_files import read_text_file
from shared import wire
from shared.amounts import parse_amount
from shared.errors import InputError, NodeError

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_MAX_PROOF = 2**20


@click.command()
@with_node
@click.argument("file", type=_FILE, required=False)
@click.option("--from", "sender", default=wallet_store.NODE, show_default=True, help="The wallet that pays and signs.")
@click.option("--fee", help="What the miner gets. [default: the least that the node takes]")
@click.option("--proof", type=click.Path(path_type=Path), help="Where to write the proof. [default: beside FILE]")
@click.option(
    "--proof-of", metavar="ID", help="Send nothing: write the proof of this transaction, which was sent before."
)
@click.option("--wait", default=120.0, show_default=True, type=click.FloatRange(0, 86400), help="Seconds to be mined.")
def anchor(
    target: Target,
    file: Path | None,
    sender: str,
    fee: str | None,
    proof: Path | None,
    proof_of: str | None,
    wait: float,
) -> None:
    """Put FILE's SHA-256 digest into a transaction, and write the proof that a block holds it.

    Where the transaction was sent and there is no proof, --proof-of ID makes it: of FILE, whose digest it must hold, or
    without one.
    """
    if file is None:
        require(proof_of is not None, "Name a file, or a transaction by --proof-of ID.")
    require(fee is None or proof_of is None, "--fee is for sending, and --proof-of sends nothing.")
    identifier = None if proof_of is None else transaction_id(proof_of)
    fee_units = None if fee is None else parse_amount(fee, field="--fee")
    data = None if file is None else anchor_proof.digest_text(file)
    path = proof or (anchor_proof.proof_path(file) if file is not None else Path(f"{identifier}{anchor_proof.SUFFIX}"))
    try:
        # What can fail fails before anything is paid: the place of the proof, its room on the disk, the wallet.
        with writing(path, new=True, room=_MAX_PROOF) as output:
            if identifier is None:
                assert data is not None, "without a file there is an id"
                signer = wallet_store.open_wallet(sender)
                identifier = submit_transfer(target.client, signer, signer.address, 0, fee=fee_units, data=data)["id"]
                target.tell(f"transaction {identifier}")
            found, made = _prove(target, identifier, file, data, wait)
            output.write(json.dumps(made, indent=2).encode() + b"\n")
    except OSError as error:
        raise Failure(_unwritten(path, error, None if proof_of else identifier)) from None
    value = {
        "digest": found.digest,
        "proof": str(path),
        "transaction": identifier,
        "block": found.block,
        "index": found.height,
    }
    target.show(value, found.digest, f"is in block {found.height}, {found.block}", f"proof: {path}")


def _prove(
    target: Target, identifier: str, file: Path | None, data: str | None, wait: float
) -> tuple[anchor_proof.Anchor, dict[str, Any]]:
    """The proof of a transaction that is sent, once it is mined, and what it shows."""
    with line(quiet=target.as_json) as say:
        say(f"waiting for a block with transaction {identifier}")
        until_mined(target.client, identifier, wait, _remedy(identifier))
    try:
        spec, inclusion = target.client.get("/spec"), target.client.get(f"/transactions/{identifier}/proof")
        made = anchor_proof.make_proof(file, spec, inclusion)
        found = anchor_proof.verify(data, made)  # a node's word is not enough: what is written must verify
        if found.transaction != identifier:
            raise Failure("The node gave the proof of another transaction.")
    except (Failure, NodeError) as error:
        code = error.exit_code if isinstance(error, Failure) else FAILED
        raise Failure(f"{error} The transaction {identifier} is sent. {_remedy(identifier)}", code) from None
    return found, made


def _unwritten(path: Path, error: OSError, identifier: str | None) -> str:
    what = f"The proof cannot be written to {path}: {error.strerror}."
    if isinstance(error, FileExistsError):
        what = f"There is a proof at {path} already; name another place with --proof."
    return what if identifier is None else f"{what} The transaction {identifier} is sent. {_remedy(identifier)}"


def _remedy(identifier: str) -> str:
    return f"`quarry anchor --proof-of {identifier}` makes its proof once it is mined."


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
    path = proof or anchor_proof.proof_path(file)
    if not path.is_file():
        raise Failure(f"There is no proof at {path}; name it with --proof.", USAGE)
    found = anchor_proof.verify(anchor_proof.digest_text(file), _read(path))
    compared = []
    if block is not None:
        if block.lower().removeprefix("0x") != found.block:
            raise Failure(f"The proof is for block {found.block}, which is not the one that you named.")
        compared.append("it is the block that you named")
    if url is not None:
        _ask(url, found)
        compared.append(f"it is on the chain of the node at {url}")
    if as_json:
        terminal.show_json({"valid": True, "compared": bool(compared), **_fields(found)})
        return
    terminal.show(
        f"{file} is anchored by {found.sender} in block {found.height} of the chain {found.chain}, "
        f"{_moment(found.timestamp)}.",
        f"Block   {found.block}",
        f"Genesis {found.genesis}",
    )
    if compared:
        terminal.show(f"Compared: {' and '.join(compared)}.")
    else:
        terminal.show(
            "Compare this block hash with one that you trust (--block HASH, or --url NODE): until then the proof",
            f"shows only that somebody spent about {found.difficulty} hashes on it.",
        )


def _moment(timestamp: int | float) -> str:
    """A time of a block as people write it; as the number where no calendar reaches."""
    try:
        return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return f"at {timestamp} Unix seconds"


def _ask(url: str, found: anchor_proof.Anchor) -> None:
    client = NodeClient(url)
    block = client.find(f"/blocks/{found.height}")
    if block is None or block["hash"] != found.block:
        raise Failure(f"The node at {url} has another block at height {found.height}, or none.")


def _fields(found: anchor_proof.Anchor) -> dict[str, Any]:
    return {name: getattr(found, name) for name in found.__dataclass_fields__}


def _read(path: Path) -> Any:
    text = read_text_file(path, limit=_MAX_PROOF)
    try:
        return wire.parse(text, floats=True)
    except InputError:
        raise anchor_proof.BadAnchor(f"{path} is not a proof: it is not JSON.") from None
