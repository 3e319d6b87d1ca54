"""Addresses: 20 bytes, written as `0x` and 40 hexadecimal digits whose case is a checksum (EIP-55)."""

import re
from functools import lru_cache
from typing import Any

from shared.errors import InputError
from shared.hashing import keccak256

# The sender of a reward, and of nothing else.
REWARD_SENDER = "0"
# No key for it will ever be found, so what is sent there is lost.
ZERO_ADDRESS = "0x0000000000000000000000000000000000000000"

_HEX_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


@lru_cache(maxsize=65536)  # hashing each address again would cost as much as parsing the rest of a transaction
def checksummed(address: bytes) -> str:
    """The EIP-55 form of 20 bytes."""
    digits = address.hex()
    mask = keccak256(digits.encode()).hex()
    return "0x" + "".join(c.upper() if m >= "8" else c for c, m in zip(digits, mask[:40], strict=True))


def is_address(text: str) -> bool:
    """Whether `text` is an address in its normal form, checksum included."""
    return _HEX_ADDRESS.fullmatch(text) is not None and checksummed(bytes.fromhex(text[2:])) == text


def parse_address(text: Any, *, field: str = "address") -> str:
    """The normal form of an address as people type it: in lower case, in upper case, or with its checksum.

    Raises:
        InputError: `bad_address`, or `bad_checksum` for mixed case that is not EIP-55.
    """
    if not isinstance(text, str) or not _HEX_ADDRESS.fullmatch(text):
        raise InputError("bad_address", f"{field} must be 0x and 40 hexadecimal digits.", field=field)
    digits = text[2:]
    normal = checksummed(bytes.fromhex(digits))
    if text != normal and digits not in (digits.lower(), digits.upper()):
        raise InputError("bad_checksum", f"{field} has a wrong checksum (EIP-55): a digit is mistyped.", field=field)
    return normal


def require_address(text: Any, *, field: str) -> str:
    """`text`, which must be an address in normal form. Hashed data has no other form.

    Raises:
        InputError: `bad_address`.
    """
    if not isinstance(text, str) or not is_address(text):
        raise InputError("bad_address", f"{field} must be an address with its EIP-55 checksum.", field=field)
    return text


@lru_cache(maxsize=65536)  # the same senders recur
def address_of_public_key(public_key: bytes) -> str:
    """The address of an Ed25519 public key (32 bytes): the last 20 bytes of its Keccak-256."""
    return checksummed(keccak256(public_key)[-20:])
