"""Signatures of what is no transaction, as `personal_sign` and `eth_signTypedData_v4` make them."""

from shared.ethereum.signing import private_key_of
from shared.hashing import keccak256


def personal_hash(message: bytes) -> bytes:
    """The 32 bytes that are signed for a message (EIP-191): the prefix keeps them from being a transaction's."""
    return keccak256(b"\x19Ethereum Signed Message:\n%d%s" % (len(message), message))


def sign_digest(private_key: bytes, digest: bytes) -> bytes:
    """The 65 bytes r, s and v of a digest's signature; v is 27 or 28. Deterministic (RFC 6979) and low-s.

    Raises:
        InputError: `bad_private_key`.
    """
    signature: bytes = private_key_of(private_key).sign_recoverable(digest, hasher=None)
    return signature[:64] + bytes([27 + signature[64]])
