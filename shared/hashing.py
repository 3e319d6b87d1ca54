"""The two hash functions of the ledger, which take and return bytes, and how a hash is written: 64 hex digits."""

import hashlib
import re
from typing import Any

try:
    from sha3 import keccak_256 as _keccak_256  # safe-pysha3: seven times as fast, but not for every platform
except ImportError:
    from Crypto.Hash import keccak as _keccak

    def _keccak_256(data: bytes) -> Any:
        return _keccak.new(digest_bits=256, data=data)


_HASH = re.compile(r"[0-9a-f]{64}")
_HEX = re.compile(r"[0-9a-f]*")


def sha256(data: bytes) -> bytes:
    """SHA-256 (FIPS 180-4), 32 bytes."""
    return hashlib.sha256(data).digest()


def keccak256(data: bytes) -> bytes:
    """Keccak-256 as Ethereum uses it, 32 bytes: with the padding from before FIPS 202, so not SHA3-256."""
    digest: bytes = _keccak_256(data).digest()
    return digest


def is_hash(value: Any) -> bool:
    """Whether `value` is a hash as text: 64 lower-case hexadecimal digits."""
    return isinstance(value, str) and _HASH.fullmatch(value) is not None


def is_hex(value: Any, size: int) -> bool:
    """Whether `value` is text of `size` bytes in lower-case hex."""
    return isinstance(value, str) and len(value) == 2 * size and _HEX.fullmatch(value) is not None
