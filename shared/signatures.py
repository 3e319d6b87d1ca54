"""The signatures of a block, for those who check them beside the replay of a chain (services/audit/ahead.py)."""

from collections.abc import Callable
from typing import Protocol

from shared import sealing
from shared.block import Block
from shared.transaction import signing_message

Verify = Callable[[bytes, bytes, bytes], bool]  # as `keys.verify`


# What `keys.verify` takes: public key, message, signature.
Signed = tuple[bytes, bytes, bytes]
# A transaction of the ethereum scheme, whose sender is recovered from its signature: its id, and the raw bytes.
Raw = tuple[str, bytes]


class Signatures(Protocol):
    """Another way to check signatures, which must give the same answers as `keys.verify` and `decode_raw`."""

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """As `keys.verify`."""

    def sender(self, identifier: str) -> str | None:
        """The address that has signed a transaction of the ethereum scheme; None: it is not known yet."""


def signatures_of(block: Block) -> list[Signed | Raw]:
    """All signatures of a block that standard rules have read: its sealer's, and those of its transactions."""
    header = block.header
    found: list[Signed | Raw] = []
    if header.sealer:
        found.append((bytes.fromhex(header.sealer), sealing.message_of(header), bytes.fromhex(header.sealer_signature)))
    for transaction in block.transactions:
        fields = transaction.fields
        scheme = fields.get("scheme")  # a reward has none
        if scheme == "ed25519":
            signature = bytes.fromhex(fields["signature"])
            found.append((bytes.fromhex(fields["public_key"]), signing_message(fields), signature))
        elif scheme == "ethereum":
            found.append((transaction.id, bytes.fromhex(fields["signature"])))
    return found
