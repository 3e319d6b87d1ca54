"""The two hash functions of the ledger. Both take and return bytes; a hash is 32 bytes."""

import hashlib

from Crypto.Hash import keccak as _keccak


def sha256(data: bytes) -> bytes:
    """SHA-256 (FIPS 180-4)."""
    return hashlib.sha256(data).digest()


def keccak256(data: bytes) -> bytes:
    """Keccak-256 as Ethereum uses it: the padding from before FIPS 202, so not SHA3-256."""
    return _keccak.new(digest_bits=256, data=data).digest()
