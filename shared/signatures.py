"""The signatures of a block, for those who check them beside the replay of a chain (services/audit/ahead.py)."""

import json
from typing import Protocol

from shared import keys, sealing
from shared.block import Block, Header
from shared.errors import NodeError
from shared.ethereum import decode_raw
from shared.transaction import Transaction, signing_message

# Names a signature, with what was signed and by whom: the hash of a sealed header, or a transaction's canonical bytes.
Name = str | bytes
# Whether a signature is good; or who has signed a transaction of the ethereum scheme, which has to be compared.
Answer = bool | str

_SCHEME = b'"scheme": '


class Signatures(Protocol):
    """What is known of signatures already. The rules check by themselves what is not known to be good."""

    def sealed(self, header: Header) -> bool:
        """Whether the sealer's signature of a header is known to be good."""

    def signed(self, transaction: Transaction) -> bool:
        """Whether the signature of a transaction of the ed25519 scheme is known to be good."""

    def sender(self, transaction: Transaction) -> str | None:
        """The address that has signed a transaction of the ethereum scheme; None: it is not known yet."""


def names_of(block: Block) -> list[Name]:
    """The names of all signatures of a block that standard rules have read: its sealer's, and its transactions'."""
    names: list[Name] = [block.hash] if block.header.sealer else []
    if len(block.transactions) > 1:  # the first one is the reward, which nobody signs
        names += [each.canonical for each in block.transactions if "scheme" in each.fields]
    return names


def check_all(text: bytes) -> list[Answer]:
    """Check all signatures of a block: an answer for each of its `names_of`, in their order.

    Args:
        text: the canonical bytes of a block that standard rules have read.
    """
    sealed = sealing.signed_in(text)
    answers: list[Answer] = [] if sealed is None else [keys.verify(*sealed)]
    # Most blocks of a quiet chain have none; then nothing is left to read. The words may also be in somebody's data.
    signed = json.loads(text)["transactions"] if _SCHEME in text else ()
    for fields in signed:
        match fields.get("scheme"):
            case "ed25519":
                public_key, signature = bytes.fromhex(fields["public_key"]), bytes.fromhex(fields["signature"])
                answers.append(keys.verify(public_key, signing_message(fields), signature))
            case "ethereum":
                answers.append(_sender(bytes.fromhex(fields["signature"])) or False)
    return answers


def _sender(raw: bytes) -> str | None:
    try:
        return decode_raw(raw).sender
    except NodeError:
        return None
