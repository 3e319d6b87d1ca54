"""Ed25519 keys: signing, addresses, and the two kinds of PEM files that OpenSSL reads and writes (RFC 8410)."""

import base64
import binascii

import nacl.bindings
import nacl.exceptions
import nacl.signing

from shared.addresses import address_of_public_key
from shared.errors import NodeError

SEED_BYTES = 32
PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64

# DER of PKCS#8 PrivateKeyInfo and X.509 SubjectPublicKeyInfo around a 32-byte Ed25519 key (RFC 8410, appendix A).
_PKCS8_PREFIX = bytes.fromhex("302e020100300506032b657004220420")
_SPKI_PREFIX = bytes.fromhex("302a300506032b6570032100")


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


def private_key_pem(seed: bytes) -> bytes:
    """PKCS#8 PEM of a private key, as `openssl genpkey -algorithm ed25519` writes it."""
    return _pem("PRIVATE KEY", _PKCS8_PREFIX + seed)


def public_key_pem(public_key: bytes) -> bytes:
    """X.509 SubjectPublicKeyInfo PEM, as `openssl pkey -pubout` writes it."""
    return _pem("PUBLIC KEY", _SPKI_PREFIX + public_key)


def read_private_key_pem(text: bytes) -> bytes:
    """The seed in an unencrypted PKCS#8 PEM.

    Raises:
        BadKey: it is anything else. The keyring reads encrypted files, because it asks for the passphrase.
    """
    return _unwrap(text, "PRIVATE KEY", _PKCS8_PREFIX)


def read_public_key_pem(text: bytes) -> bytes:
    """The 32 bytes of an Ed25519 public key in a SubjectPublicKeyInfo PEM."""
    return _unwrap(text, "PUBLIC KEY", _SPKI_PREFIX)


def _pem(label: str, der: bytes) -> bytes:
    return f"-----BEGIN {label}-----\n{base64.b64encode(der).decode()}\n-----END {label}-----\n".encode()


def _unwrap(text: bytes, label: str, prefix: bytes) -> bytes:
    lines = text.decode("ascii", errors="replace").strip().splitlines()
    wrapped = len(lines) >= 3 and lines[0] == f"-----BEGIN {label}-----" and lines[-1] == f"-----END {label}-----"
    try:
        der = base64.b64decode("".join(lines[1:-1]), validate=True) if wrapped else b""
    except (binascii.Error, ValueError):
        der = b""
    if not der.startswith(prefix) or len(der) != len(prefix) + 32:
        raise BadKey(f"Not an Ed25519 {label.lower()} in PEM.")
    return der[len(prefix) :]
