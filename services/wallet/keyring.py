"""Keys on disk (DESIGN §9): a directory with `private.key`, `public.key` and `certificate.pem`, as OpenSSL reads them.

Two schemes share the layout: `ed25519` (ours), and `ethereum` (secp256k1), for keys that people bring from wallets. The
private key is one PKCS#8 PEM either way; which scheme it is, its algorithm says.
"""

import base64
import binascii
import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from services.files import make_private_directory, replace, write_new
from services.wallet.signers import Ed25519Signer, EthereumSigner, Scheme, Signer
from shared import ethereum, keys
from shared.addresses import address_of_public_key, checksummed
from shared.errors import NodeError
from shared.hashing import keccak256
from shared.keys import BadKey, KeyPair

PRIVATE_KEY = "private.key"
PUBLIC_KEY = "public.key"
CERTIFICATE = "certificate.pem"

_ENCRYPTED = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"
# A PKCS#8 PEM of either scheme has at most some 400 bytes. Whatever is larger is another file, given by mistake.
_MAX_KEY_FILE = 16_384
# DER of SubjectPublicKeyInfo around an uncompressed secp256k1 point of 65 bytes (RFC 5480).
_SECP256K1_SPKI = bytes.fromhex("3056301006072a8648ce3d020106052b8104000a034200")


class KeyringError(NodeError):
    """A key file is missing, unsafe, unreadable or locked. The message names the file, never what is in it."""


class UnsafePermissions(KeyringError):
    """A secret can be read by other users of this machine."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"The secret in {path} can be read by others: run chmod 600 on it.")


class PassphraseNeeded(KeyringError):
    """The private key is encrypted, and no passphrase was given, or a wrong one."""


# --- Making keys -----------------------------------------------------------------------------------------------------


def create(directory: Path, passphrase: str | None = None) -> KeyPair:
    """Make a key directory with a fresh Ed25519 key; `directory` is made, mode 0700, if it is missing.

    Raises:
        KeyringError: there is a private key already (it is never replaced), or the disk refuses.
    """
    return store(directory, os.urandom(keys.SEED_BYTES), passphrase)


def store(directory: Path, seed: bytes, passphrase: str | None = None) -> KeyPair:
    """Write the key directory of an Ed25519 key that exists already."""
    from cryptography import x509

    from shared.certificates import self_signed

    key = KeyPair(seed)
    pem = keys.private_key_pem(seed) if passphrase is None else _encrypted(_ed25519(seed), passphrase)
    now = datetime.now(UTC).replace(microsecond=0)
    certificate = self_signed(key, serial_number=x509.random_serial_number(), not_before=now)
    _write(directory, pem, keys.public_key_pem(key.public_key), certificate)
    return key


def store_ethereum(directory: Path, private_key: bytes, passphrase: str | None = None) -> EthereumSigner:
    """Write the key directory of a secp256k1 key (32 bytes). It has no certificate: those bind Ed25519 keys."""
    from cryptography.hazmat.primitives import serialization as s

    address = ethereum.address_of_private_key(private_key)
    key = _secp256k1(private_key)
    encryption = s.NoEncryption() if passphrase is None else s.BestAvailableEncryption(passphrase.encode())
    pem = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, encryption)
    public = key.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)
    _write(directory, pem, public, None)
    return EthereumSigner(private_key, address)


def create_ethereum(directory: Path, passphrase: str | None = None) -> EthereumSigner:
    """Make a key directory with a fresh secp256k1 key. Raises as `create`."""
    from coincurve import PrivateKey

    return store_ethereum(directory, PrivateKey().secret, passphrase)


def write_secret(path: Path, content: bytes) -> None:
    """Write a secret to a new file, mode 0600.

    Raises:
        KeyringError: there is such a file already, or the disk refuses.
    """
    try:
        write_new(path, content)
    except FileExistsError:
        raise KeyringError(f"There is a file {path} already; secrets are never written over others.") from None
    except OSError as error:
        raise KeyringError(f"The secret cannot be written to {path}: {error.strerror}.") from None


def _write(directory: Path, private: bytes, public: bytes, certificate: bytes | None) -> None:
    try:
        make_private_directory(directory)
        # The private key first and exclusively: whoever loses a race, or names an old wallet, changes nothing.
        write_new(directory / PRIVATE_KEY, private)
        replace(directory / PUBLIC_KEY, public, 0o644)
        if certificate is not None:
            replace(directory / CERTIFICATE, certificate, 0o644)
    except FileExistsError:
        raise KeyringError(f"There is a key in {directory} already; keys are never replaced.") from None
    except OSError as error:
        raise KeyringError(f"The key cannot be written to {directory}: {error.strerror}.") from None


# --- Reading keys ----------------------------------------------------------------------------------------------------


def load(path: Path, passphrase: str | None = None) -> KeyPair:
    """The Ed25519 key in a key directory or in one PEM file, such as OpenSSL's.

    Raises:
        UnsafePermissions: others can read it.
        PassphraseNeeded: it is encrypted, and `passphrase` is missing or wrong.
        KeyringError: it is missing, or holds no Ed25519 key.
    """
    signer = load_signer(path, passphrase)
    if not isinstance(signer, Ed25519Signer):
        raise KeyringError(f"{_private_file(path)} holds no Ed25519 key.")
    return signer.key


def load_signer(path: Path, passphrase: str | None = None) -> Signer:
    """The private key in a key directory or a PEM file, of either scheme. Raises as `load`."""
    file = _private_file(path)
    pem = _read_private(file)
    if pem.lstrip().startswith(_ENCRYPTED):
        return _decrypted(file, pem, passphrase)
    try:
        return Ed25519Signer(KeyPair(keys.read_private_key_pem(pem)))
    except BadKey:
        return _by_algorithm(file, pem, None)


def is_encrypted(path: Path) -> bool:
    """Whether a passphrase is needed. The same refusals as `load`."""
    return _read_private(_private_file(path)).lstrip().startswith(_ENCRYPTED)


def public_key(directory: Path) -> tuple[Scheme, bytes]:
    """Scheme and public key (32 bytes, or a point of 65) of a key directory, without touching the private key."""
    file = directory / PUBLIC_KEY
    try:
        text = _read(file)
    except FileNotFoundError:
        raise KeyringError(f"There is no public key at {file}.") from None
    except OSError as error:
        raise KeyringError(f"The public key {file} cannot be read: {error.strerror}.") from None
    try:
        return "ed25519", keys.read_public_key_pem(text)
    except BadKey:
        der = _der(text, "PUBLIC KEY")
        if not der.startswith(_SECP256K1_SPKI) or len(der) != len(_SECP256K1_SPKI) + 65:
            raise KeyringError(f"{file} holds neither an Ed25519 nor a secp256k1 public key.") from None
        return "ethereum", der[len(_SECP256K1_SPKI) :]


def address_of(directory: Path) -> str:
    """The address of a key directory, from `public.key` alone."""
    scheme, key = public_key(directory)
    return address_of_public_key(key) if scheme == "ed25519" else checksummed(keccak256(key[1:])[-20:])


def _private_file(path: Path) -> Path:
    return path / PRIVATE_KEY if path.is_dir() else path


def _read_private(file: Path) -> bytes:
    try:
        found = file.stat()
        if not stat.S_ISREG(found.st_mode):
            raise KeyringError(f"{file} is not a file.")
        if found.st_mode & 0o077:
            raise UnsafePermissions(file)
        return _read(file)
    except FileNotFoundError:
        raise KeyringError(f"There is no private key at {file}.") from None
    except OSError as error:
        raise KeyringError(f"The private key {file} cannot be read: {error.strerror}.") from None


def _read(file: Path) -> bytes:
    with file.open("rb") as opened:
        content = opened.read(_MAX_KEY_FILE + 1)
    if len(content) > _MAX_KEY_FILE:
        raise KeyringError(f"{file} is too large for a key.")
    return content


def _der(text: bytes, label: str) -> bytes:
    lines = text.decode("ascii", errors="replace").strip().splitlines()
    if len(lines) < 3 or lines[0] != f"-----BEGIN {label}-----" or lines[-1] != f"-----END {label}-----":
        return b""
    try:
        return base64.b64decode("".join(lines[1:-1]), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _decrypted(file: Path, pem: bytes, passphrase: str | None) -> Signer:
    if passphrase is None:
        raise PassphraseNeeded(f"The private key {file} is encrypted: its passphrase is needed.")
    return _by_algorithm(file, pem, passphrase.encode())


def _by_algorithm(file: Path, pem: bytes, passphrase: bytes | None) -> Signer:
    """Keys that the plain reader leaves alone: encrypted, secp256k1, or with attributes that RFC 5958 allows."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        key = serialization.load_pem_private_key(pem, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        if passphrase is not None:
            raise PassphraseNeeded(f"The private key {file} is not opened by this passphrase.") from None
        raise KeyringError(f"{file} holds no private key in PEM that Quarry can use.") from None
    if isinstance(key, Ed25519PrivateKey):
        return Ed25519Signer(KeyPair(key.private_bytes_raw()))
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256K1):
        secret = key.private_numbers().private_value.to_bytes(32, "big")
        return EthereumSigner(secret, ethereum.address_of_private_key(secret))
    raise KeyringError(f"{file} holds neither an Ed25519 nor a secp256k1 private key.")


def _ed25519(seed: bytes) -> Any:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed)


def _secp256k1(private_key: bytes) -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.derive_private_key(int.from_bytes(private_key, "big"), ec.SECP256K1())


def _encrypted(key: Any, passphrase: str) -> bytes:
    from cryptography.hazmat.primitives import serialization as s

    encryption = s.BestAvailableEncryption(passphrase.encode())
    pem: bytes = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, encryption)
    return pem


def require_private(path: Path) -> None:
    """Refuse a secret that others can read.

    Raises:
        UnsafePermissions, KeyringError: naming the file.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise KeyringError(f"The file {path} cannot be read: {error.strerror}.") from None
    if mode & 0o077:
        raise UnsafePermissions(path)


def describe(directory: Path) -> dict[str, str]:
    """Address, scheme and public key (hex) of a key directory."""
    scheme, key = public_key(directory)
    return {"address": address_of(directory), "scheme": scheme, "public_key": key.hex()}
