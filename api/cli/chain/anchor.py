"""`quarry anchor`: put a file's digest on the chain, as evidence that the file existed, without showing the file."""

import json
from pathlib import Path
from typing import Any

import click

from api.cli.chain import anchor_proof
from api.cli.group import FAILED, Failure
from api.cli.lookup import find_transaction
from api.cli.options import Target, require, with_node
from api.cli.progress import line
from api.cli.wallet import wallet_store
from api.cli.wallet.transfers import amount_units, submit_transfer, until_mined
from services.system.files import writing
from shared.errors import NodeError


@click.command()
@with_node
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
@click.option("--from", "sender", default=wallet_store.NODE, show_default=True, help="The wallet that pays and signs.")
@click.option("--fee", help="The miner's fee, in coins. [default: the lowest that the node accepts]")
@click.option("--proof", type=click.Path(path_type=Path), help="Where to write the proof. [default: beside FILE]")
@click.option("--proof-of", metavar="ID", help="Send nothing; write the proof of this sent transaction.")
@click.option(
    "--wait",
    default=120.0,
    show_default=True,
    type=click.FloatRange(0, 86400),
    help="How many seconds to wait for the block.",
)
def anchor(
    target: Target,
    file: Path | None,
    sender: str,
    fee: str | None,
    proof: Path | None,
    proof_of: str | None,
    wait: float,
) -> None:
    """Send a transaction with FILE's SHA-256 digest, wait for its block, and write the proof that the block holds it.

    If the transaction was sent but its proof was not written, --proof-of ID writes it. FILE is optional then.
    """
    if file is None:
        require(proof_of is not None, "Name a file to anchor, or a transaction with --proof-of ID.")
    require(fee is None or proof_of is None, "--fee cannot be used with --proof-of, which sends nothing.")
    identifier = None if proof_of is None else find_transaction(target.client, proof_of, "--proof-of")
    fee_units = None if fee is None else amount_units(fee, "--fee")
    data = None if file is None else anchor_proof.digest_text(file)
    path = proof or (anchor_proof.proof_path(file) if file is not None else Path(f"{identifier}{anchor_proof.SUFFIX}"))
    try:
        # Before anything is paid: the proof's file, space for it on the disk, and the wallet must all be there.
        with writing(path, new=True, room=anchor_proof.MAX_BYTES) as output:
            if identifier is None:
                assert data is not None, "without a file there is a transaction id"
                signer = wallet_store.open_wallet(sender, target.client.url)
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
    """Wait for a transaction's block; what the proof shows, and the proof itself."""
    with line(quiet=target.as_json) as say:
        say(f"waiting for a block with transaction {identifier}")
        until_mined(target.client, identifier, wait, _remedy(identifier))
    try:
        spec, inclusion = target.client.get("/spec"), target.client.get(f"/transactions/{identifier}/proof")
        made = anchor_proof.make_proof(file, spec, inclusion)
        found = anchor_proof.verify(data, made)  # the node is not trusted: only a proof that verifies is written
        if found.transaction != identifier:
            raise Failure("The node sent the proof of another transaction.")
    except (Failure, NodeError) as error:
        code = error.exit_code if isinstance(error, Failure) else FAILED
        raise Failure(f"{error} The transaction {identifier} was sent. {_remedy(identifier)}", code) from None
    return found, made


def _unwritten(path: Path, error: OSError, identifier: str | None) -> str:
    what = f"The proof cannot be written to {path}: {error.strerror}."
    if isinstance(error, FileExistsError):
        what = f"There is already a proof at {path}; name another file with --proof."
    return what if identifier is None else f"{what} The transaction {identifier} was sent. {_remedy(identifier)}"


def _remedy(identifier: str) -> str:
    return f"Once it is mined, `quarry anchor --proof-of {identifier}` writes its proof."
