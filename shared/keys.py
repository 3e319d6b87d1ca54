"""Ed25519 keys: signing, verifying, addresses (RFC 8032)."""

import nacl.bindings
import nacl.exceptions
import nacl.signing

from shared.addresses import address_of_public_key
from shared.errors import NodeError

SEED_BYTES = 32
PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64


class BadKey(NodeError):
    """A key or key file is not an Ed25519 key in the expected form."""


class KeyPair:
    """An Ed25519 private key (from its 32-byte seed), its public key and its address."""

    __slots__ = ("_key", "address", "public_key")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise BadKey("An Ed25519 private key has 32 bytes.")
        self._key = nacl.signing.SigningKey(seed)
        self.public_key: bytes = bytes(self._key.verify_key)
        self.address = address_of_public_key(self.public_key)

    @property
    def seed(self) -> bytes:
        """The private key. Never log it."""
        return bytes(self._key)

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature of `message`; deterministic (RFC 8032)."""
        return self._key.sign(message).signature


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` over `message` is valid for `public_key`. One of a wrong length never is.

    Valid means what libsodium checks (docs/consensus.md): S below the group order, A and R canonical and not of
    small order, the equation without cofactor. Frozen vectors test every release of the library for this.
    """
    # libsodium gets signature and message joined, so a short signature would take its last bytes from the message.
    # PyNaCl passes keys of any length, and libsodium reads the first 32 bytes.
    if len(signature) != SIGNATURE_BYTES or len(public_key) != PUBLIC_KEY_BYTES:
        return False
    try:
        nacl.bindings.crypto_sign_open(signature + message, public_key)
    except (nacl.exceptions.BadSignatureError, nacl.exceptions.CryptoError, ValueError):
        return False
    return True
