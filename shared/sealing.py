"""Who may seal: the signature of a header on a chain whose spec names sealers (docs/permissioned.md).

A sealed header has two fields more: `sealer`, the public key (an address could not be verified), and
`sealer_signature`. The signature is made before the search for the proof, and the seal commits to both fields, so
whoever searches needs no key.
"""

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from shared import keys
from shared.addresses import address_of_public_key
from shared.block import Header
from shared.canonical import canonical
from shared.errors import RuleError

SEALED_FIELDS = ("sealer", "sealer_signature")
_DOMAIN = b"quarry-block:"
_UNSIGNED = frozenset({"proof", "sealer_signature"})
# Signatures whose answers are remembered: a header is judged once alone and once with its block. Two pages of headers.
_REMEMBERED = 1024


def signing_message(fields: Mapping[str, Any]) -> bytes:
    """The bytes that a sealer signs: a domain tag, and the canonical header without its proof and signature."""
    return _DOMAIN + canonical({name: value for name, value in fields.items() if name not in _UNSIGNED})


def message_of(header: Header) -> bytes:
    """`signing_message(header.to_object())` of a header that the standard rules have read, in a tenth of the time.

    Its numbers are whole and its texts hexadecimal, so canonical JSON is what is written here. A test compares the two.
    """
    text = (
        f'{{"difficulty": {header.difficulty}, "index": {header.index}, "previous_hash": "{header.previous_hash}", '
        f'"sealer": "{header.sealer}", "timestamp": {header.timestamp}, '
        f'"transactions_root": "{header.transactions_root}"}}'
    )
    return _DOMAIN + text.encode()


def sign(fields: Mapping[str, Any], key: keys.KeyPair) -> dict[str, Any]:
    """A header's fields with `sealer` and `sealer_signature`.

    Args:
        fields: the header's, without proof.
    """
    named = {**fields, "sealer": key.public_key.hex()}
    return {**named, "sealer_signature": key.sign(signing_message(named)).hex()}


def require_sealer(public_key: bytes, sealers: Collection[str]) -> None:
    """Refuse a key that is not one of the sealers' (addresses).

    Raises:
        RuleError: `sealer_not_allowed`.
    """
    address = address_of_public_key(public_key)
    if address not in sealers:
        raise RuleError("sealer_not_allowed", f"{address} is not a sealer at this height.", field="sealer")


@lru_cache(maxsize=_REMEMBERED)
def verified(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """As `keys.verify`. Answers are remembered."""
    return keys.verify(public_key, message, signature)


def check_sealer(header: Header, sealers: Collection[str], *, is_good: bool = False) -> None:
    """Check that one of `sealers` (addresses) has signed the header.

    Args:
        header: as the standard rules have read it.
        is_good: its signature is known to be good.

    Raises:
        RuleError: `sealer_not_allowed`, `sealer_signature_invalid`.
    """
    public_key = bytes.fromhex(header.sealer)
    require_sealer(public_key, sealers)
    if not is_good and not verified(public_key, message_of(header), bytes.fromhex(header.sealer_signature)):
        raise RuleError(
            "sealer_signature_invalid",
            "sealer_signature is not the sealer's signature of this header.",
            field="sealer_signature",
        )
