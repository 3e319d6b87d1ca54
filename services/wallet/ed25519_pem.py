"""The two kinds of PEM files of Ed25519 keys that OpenSSL reads and writes (RFC 8410)."""

import base64
import binascii

from shared.keys import BadKey

# DER of PKCS#8 PrivateKeyInfo and X.509 SubjectPublicKeyInfo around a 32-byte Ed25519 key (RFC 8410, appendix A).
_PKCS8_PREFIX = bytes.fromhex("302e020100300506032b657004220420")
_SPKI_PREFIX = bytes.fromhex("302a300506032b6570032100")


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


def der_of(text: bytes, label: str) -> bytes:
    """The bytes in a PEM file that is one block with this label; empty for any other text."""
    lines = text.decode("ascii", errors="replace").strip().splitlines()
    if len(lines) < 3 or lines[0] != f"-----BEGIN {label}-----" or lines[-1] != f"-----END {label}-----":
        return b""
    try:
        return base64.b64decode("".join(lines[1:-1]), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _unwrap(text: bytes, label: str, prefix: bytes) -> bytes:
    der = der_of(text, label)
    if not der.startswith(prefix) or len(der) != len(prefix) + 32:
        raise BadKey(f"Not an Ed25519 {label.lower()} in PEM.")
    return der[len(prefix) :]
