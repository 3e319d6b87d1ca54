"""The signatures of a block, for those who check them beside the replay of a chain (services/audit/ahead.py)."""

from collections.abc import Iterable
from typing import Protocol

from shared import keys, sealing
from shared.block import Block, Header
from shared.errors import NodeError
from shared.ethereum import decode_raw
from shared.transaction import Transaction, message_of

# Names a signature, with what was signed and by whom: the hash of a sealed header, or a transaction's canonical bytes.
Name = str | bytes
# Whether a signature is good; or who has signed a transaction of the ethereum scheme, which has to be compared.
Answer = bool | str
# What is asked of a signature. Bytes are one of Ed25519: public key and signature in hexadecimal, and the message.
# A text is a transaction that an Ethereum wallet signed, in hexadecimal.
Question = bytes | str
_SIGNER_DIGITS = 2 * (keys.PUBLIC_KEY_BYTES + keys.SIGNATURE_BYTES)


class Signatures(Protocol):
    """What is known of signatures already. The rules check by themselves what is not known to be good."""

    def sealed(self, header: Header) -> bool:
        """Whether the sealer's signature of a header is known to be good."""

    def signed(self, transaction: Transaction) -> bool:
        """Whether the signature of a transaction of the ed25519 scheme is known to be good."""

    def sender(self, transaction: Transaction) -> str | None:
        """The address that has signed a transaction of the ethereum scheme; None: it is not known yet."""


def questions_of(blocks: Iterable[Block]) -> tuple[list[Name], list[Question]]:
    """All signatures of blocks that standard rules have read: of their sealers, and of their transactions."""
    names: list[Name] = []
    questions: list[Question] = []
    for block in blocks:
        header = block.header
        if header.sealer:
            names.append(header.hash)
            questions.append((header.sealer + header.sealer_signature).encode() + sealing.message_of(header))
        if len(block.transactions) > 1:  # the first one is the reward, which nobody signs
            for transaction in block.transactions[1:]:
                fields = transaction.fields
                names.append(transaction.canonical)
                questions.append(
                    (fields["public_key"] + fields["signature"]).encode() + message_of(transaction)
                    if fields["scheme"] == "ed25519"
                    else fields["signature"]
                )
    return names, questions


def answer_to(question: Question) -> Answer:
    """Check a signature."""
    if isinstance(question, str):
        return sender_of(question) or False
    public_key, signature = question[: 2 * keys.PUBLIC_KEY_BYTES], question[2 * keys.PUBLIC_KEY_BYTES : _SIGNER_DIGITS]
    message = question[_SIGNER_DIGITS:]
    return keys.verify(bytes.fromhex(public_key.decode()), message, bytes.fromhex(signature.decode()))


def sender_of(raw: str) -> str | None:
    """Who has signed a transaction of the ethereum scheme, given in hexadecimal; None: nobody has."""
    try:
        return decode_raw(bytes.fromhex(raw)).sender
    except NodeError:
        return None
