"""The proof of an anchor: that a transaction with a file's digest is in a block. Nothing here uses the network."""

import hashlib
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from shared import keys, merkle
from shared.addresses import address_of_public_key
from shared.chain_spec import BadChainSpec, spec_from_object
from shared.errors import NodeError, Refusal
from shared.proof import meets
from shared.rules import rules_for
from shared.transaction import Transaction, read_transaction, signing_message

FORMAT = "quarry-proof-1"
SUFFIX = ".quarry-proof.json"
MAX_BYTES = 2**20  # of a proof file
_PREFIX = "sha256:"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# Steps: enough for an RFC 6962 tree of 2^32 leaves, and no block has as many transactions.
_MAX_BRANCH = 32


class BadAnchor(NodeError):
    """The proof does not show that the file is anchored. The message names the step that failed."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """What a proof shows, provided that the block hash is on the chain."""

    digest: str  # `sha256:` and 64 hexadecimal digits
    block: str  # hash
    height: int
    timestamp: int | float  # Unix seconds, as the block's miner set it
    difficulty: int  # hashes that the block's proof is expected to cost
    transaction: str  # id
    sender: str
    chain: str  # name of the chain spec
    chain_id: int
    genesis: str


def digest_text(path: Path) -> str:
    """The text for the transaction's data: `sha256:` and the file's digest in hexadecimal. Reads it as a stream.

    Raises:
        BadAnchor: it cannot be read; or it is a pipe or a device, which may never end and cannot be read again to
            verify it.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise BadAnchor(f"{path} is not a regular file.")
    try:
        with path.open("rb") as file:
            return _PREFIX + hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadAnchor(f"{path} cannot be read: {error.strerror}.") from None


def proof_path(file: Path) -> Path:
    """The default path of a file's proof, beside the file."""
    return file.with_name(file.name + SUFFIX)


def make_proof(file: Path | None, spec: dict[str, Any], inclusion: dict[str, Any]) -> dict[str, Any]:
    """The content of a proof file.

    Args:
        file: the anchored file, whose name is noted for people; None if it is not at hand.
        spec, inclusion: what the node serves at `/spec` and `/transactions/{id}/proof`.
    """
    named = {} if file is None else {"file": file.name}
    return {"format": FORMAT, **named, "spec": spec, **inclusion}


def verify(data: str | None, proof: Any) -> Anchor:
    """Check each step from the digest to the block's hash.

    Args:
        data: `digest_text` of the file; None to accept any file's digest.
        proof: the proof file's JSON.

    Raises:
        BadAnchor: at the first step that fails.
    """
    if not isinstance(proof, dict) or proof.get("format") != FORMAT:
        raise BadAnchor(f"The proof does not have the format {FORMAT}.")
    try:
        spec = spec_from_object(proof["spec"])
        rules = rules_for(spec)
        transaction = read_transaction(proof["transaction"])
        header = rules.read_header(proof["header"])
        steps = _steps(proof["branch"])
        claimed = proof["block"]
    except KeyError as error:
        raise BadAnchor(f"The proof lacks the field {error.args[0]}.") from None
    except (TypeError, ValueError):
        raise BadAnchor("The proof is damaged.") from None
    except (Refusal, BadChainSpec) as error:
        raise BadAnchor(f"The proof is damaged: {error}") from None
    digest = str(transaction.fields.get("data", ""))
    if data is None and not _DIGEST.fullmatch(digest):
        raise BadAnchor("The transaction holds no file's digest.")
    if data is not None and digest != data:
        raise BadAnchor(
            "The transaction does not hold this file's digest: the file was changed, or the proof is another file's."
        )
    _check_signature(transaction)
    if merkle.follow(merkle.leaf_hash(transaction.canonical), steps).hex() != header.transactions_root:
        raise BadAnchor("The branch does not lead from the transaction to the block's transactions root.")
    if header.hash != claimed:
        raise BadAnchor("The header's hash is not the block hash in the proof.")
    if not meets(bytes.fromhex(header.hash), header.difficulty):
        raise BadAnchor("The block's hash does not meet its difficulty.")
    if transaction.chain_id != spec.chain_id:
        raise BadAnchor("The transaction is for another chain than the proof's.")
    return Anchor(
        digest=digest,
        block=header.hash,
        height=header.index,
        timestamp=header.timestamp,
        difficulty=header.difficulty,
        transaction=transaction.id,
        sender=transaction.sender,
        chain=spec.name,
        chain_id=spec.chain_id,
        genesis=rules.genesis().hash,
    )


def _steps(branch: Any) -> list[merkle.Step]:
    if not isinstance(branch, list) or len(branch) > _MAX_BRANCH:
        raise ValueError("not a branch")
    steps = []
    for item in branch:
        sibling = bytes.fromhex(item["hash"])
        if item["side"] not in ("left", "right") or len(sibling) != 32:
            raise ValueError("not a step")
        steps.append(merkle.Step(item["side"], sibling))
    return steps


def _check_signature(transaction: Transaction) -> None:
    fields = transaction.fields
    if fields["scheme"] != "ed25519":
        raise BadAnchor("Only Ed25519 transactions carry data.")
    public_key = bytes.fromhex(fields["public_key"])
    signature = bytes.fromhex(fields["signature"])
    if address_of_public_key(public_key) != transaction.sender:
        _bad_signature()
    if not keys.verify(public_key, signing_message(fields), signature):
        _bad_signature()


def _bad_signature() -> NoReturn:
    raise BadAnchor("The transaction's signature is not its sender's.")
