"""Keys on disk: a directory with `private.key`, `public.key` and `certificate.pem`, as OpenSSL reads them.

Two schemes share the layout: `ed25519` (ours), and `ethereum` (secp256k1), for keys from other wallets. The private key
is one PKCS#8 PEM in both; its algorithm tells the scheme.
"""

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from services.system.files import make_private_directory, replace, sync_directory, write_new
from services.system.text_files import BadTextFile, read_small, read_text_file, without_mark
from services.wallet import ed25519_pem, private_keys
from services.wallet.passphrases import written
from services.wallet.pem import Block, NoPrivateKey, is_der, private_block
from services.wallet.private_keys import NotOpened
from services.wallet.signers import Ed25519Signer, EthereumSigner, Scheme, Signer
from shared import ethereum, keys
from shared.addresses import address_of_public_key, checksummed
from shared.errors import NodeError
from shared.hashing import keccak256
from shared.keys import BadKey, KeyPair

PRIVATE_KEY = "private.key"
PUBLIC_KEY = "public.key"
CERTIFICATE = "certificate.pem"

# Bytes. A PKCS#8 PEM of either scheme has 400 at most, a certificate beside it some thousand. A larger file is another
# one, named by mistake.
_MAX_KEY_FILE = 65_536
# DER of SubjectPublicKeyInfo around an uncompressed secp256k1 point of 65 bytes (RFC 5480).
_SECP256K1_SPKI = bytes.fromhex("3056301006072a8648ce3d020106052b8104000a034200")


class KeyringError(NodeError):
    """A key file is missing, unsafe, unreadable or locked. The message names the file and never its content."""


class UnsafePermissions(KeyringError):
    """A secret can be read by other users of this machine."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"The secret in {path} can be read by others: run chmod 600 on it.")


class PassphraseNeeded(KeyringError):
    """The private key is encrypted, and the passphrase is missing or wrong."""


# --- Making keys -----------------------------------------------------------------------------------------------------


def create(directory: Path, passphrase: str | None = None) -> KeyPair:
    """Make a key directory with a fresh Ed25519 key; `directory` is made, mode 0700, if it is missing.

    Raises:
        KeyringError: there is a private key already, which is never replaced, or it cannot be written.
    """
    return store(directory, os.urandom(keys.SEED_BYTES), passphrase)


def store(directory: Path, seed: bytes, passphrase: str | None = None) -> KeyPair:
    """Write the key directory of an existing Ed25519 key. Raises as `create` does."""
    from cryptography import x509

    from services.wallet.certificates import self_signed

    key = KeyPair(seed)
    pem = ed25519_pem.private_key_pem(seed) if passphrase is None else _pem(_ed25519(seed), passphrase)
    now = datetime.now(UTC).replace(microsecond=0)
    certificate = self_signed(key, serial_number=x509.random_serial_number(), not_before=now)
    _write(directory, pem, ed25519_pem.public_key_pem(key.public_key), certificate)
    return key


def store_ethereum(directory: Path, private_key: bytes, passphrase: str | None = None) -> EthereumSigner:
    """Write the key directory of a secp256k1 key (32 bytes). Certificates bind Ed25519 keys, so it has none."""
    from cryptography.hazmat.primitives import serialization as s

    address = ethereum.address_of_private_key(private_key)
    key = _secp256k1(private_key)
    public = key.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)
    _write(directory, _pem(key, passphrase), public, None)
    return EthereumSigner(private_key, address)


def create_ethereum(directory: Path, passphrase: str | None = None) -> EthereumSigner:
    """Make a key directory with a fresh secp256k1 key. Raises as `create` does."""
    from coincurve import PrivateKey

    return store_ethereum(directory, PrivateKey().secret, passphrase)


def discard(directory: Path) -> None:
    """Remove a key that was just made and that no one has seen yet. Other files in the directory stay."""
    with contextlib.suppress(OSError):
        for name in (PRIVATE_KEY, PUBLIC_KEY, CERTIFICATE):
            (directory / name).unlink(missing_ok=True)
        directory.rmdir()


def write_secret(path: Path, content: bytes) -> None:
    """Write a secret to a new file, mode 0600.

    Raises:
        KeyringError: there is such a file already, or it cannot be written.
    """
    try:
        write_new(path, content)
    except FileExistsError:
        raise KeyringError(f"The file {path} exists already; a secret never overwrites a file.") from None
    except OSError as error:
        raise KeyringError(f"The secret cannot be written to {path}: {error.strerror}.") from None


def _write(directory: Path, private: bytes, public: bytes, certificate: bytes | None) -> None:
    """Write the files of a key, all or none. They are on disk when this returns."""
    files = {PUBLIC_KEY: public} if certificate is None else {PUBLIC_KEY: public, CERTIFICATE: certificate}
    try:
        make_private_directory(directory.parent)
        if directory.exists():  # a node's, with other files in it
            _write_into(directory, private, files)
            return
        # Under another name until it is complete. If the name is then taken, nothing changes there.
        made = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
        try:
            _write_into(made, private, files)
            _rename(made, directory)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
        sync_directory(directory.parent)
    except _KeyThere:
        raise KeyringError(f"There is a key in {directory} already; keys are never replaced.") from None
    except OSError as error:
        raise KeyringError(f"The key cannot be written to {directory}: {error.strerror}.") from None


class _KeyThere(Exception):
    """There is a key of this name."""


def _rename(made: Path, directory: Path) -> None:
    try:
        made.rename(directory)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            raise _KeyThere from None
        raise


def _write_into(directory: Path, private: bytes, files: Mapping[str, bytes]) -> None:
    # The private key first, and only as a new file: if that fails, nothing has changed.
    try:
        write_new(directory / PRIVATE_KEY, private)
    except FileExistsError:
        raise _KeyThere from None
    try:
        for name, content in files.items():
            replace(directory / name, content, 0o644)
    except BaseException:
        for name in (
            PRIVATE_KEY,
            *files,
        ):  # no one has seen this key yet, and its remains would occupy the name
            with contextlib.suppress(OSError):
                (directory / name).unlink(missing_ok=True)
        raise
    sync_directory(directory)


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
    """The private key, of either scheme, in a key directory or a PEM file. Raises as `load` does."""
    return unlock(path, lambda: passphrase)


def unlock(path: Path, ask: Callable[[], str | None]) -> Signer:
    """As `load_signer`, but `ask` is called if a passphrase is needed. The file, which may be a pipe, is read once."""
    file = _private_file(path)
    block = _read_private(file)
    passphrase = ask() if block.encrypted else None
    try:
        return private_keys.read(block, passphrase)
    except NoPrivateKey as error:
        raise KeyringError(f"{file} {error}.") from None
    except NotOpened:
        if passphrase is None:
            raise PassphraseNeeded(f"The private key {file} is encrypted: its passphrase is needed.") from None
        raise PassphraseNeeded(f"This passphrase does not open the private key {file}.") from None


def is_encrypted(path: Path) -> bool:
    """Whether a passphrase is needed. Raises: UnsafePermissions, KeyringError, as `load`."""
    return _read_private(_private_file(path)).encrypted


def public_key(directory: Path) -> tuple[Scheme, bytes]:
    """Scheme and public key (32 bytes, or a point of 65) of a key directory, without touching the private key."""
    file = directory / PUBLIC_KEY
    try:
        text = read_text_file(file, limit=_MAX_KEY_FILE)
    except BadTextFile as error:
        raise KeyringError(str(error) if os.path.lexists(file) else _no_public_key(directory)) from None
    try:
        return "ed25519", ed25519_pem.read_public_key_pem(text)
    except BadKey:
        der = ed25519_pem.der_of(text, "PUBLIC KEY")
        if not der.startswith(_SECP256K1_SPKI) or len(der) != len(_SECP256K1_SPKI) + 65:
            raise KeyringError(f"{file} holds neither an Ed25519 nor a secp256k1 public key.") from None
        return "ethereum", der[len(_SECP256K1_SPKI) :]


def public_key_of(private_key: bytes) -> bytes:
    """The public key (a point of 65 bytes) of a private key of Ethereum's scheme (32 bytes)."""
    from coincurve import PrivateKey

    point: bytes = PrivateKey(private_key).public_key.format(compressed=False)
    return point


def address_of(directory: Path) -> str:
    """The address of a key directory, from `public.key` alone."""
    scheme, key = public_key(directory)
    return address_of_public_key(key) if scheme == "ed25519" else checksummed(keccak256(key[1:])[-20:])


def _private_file(path: Path) -> Path:
    return path / PRIVATE_KEY if path.is_dir() else path


def _read_private(file: Path) -> Block:
    try:
        text = read_small(file, limit=_MAX_KEY_FILE)
        require_private(file)
        return private_block(text if is_der(text) else without_mark(text, str(file)))
    except BadTextFile as error:
        missing = not os.path.lexists(file)
        raise KeyringError(f"There is no private key at {file}." if missing else str(error)) from None
    except NoPrivateKey as error:
        raise KeyringError(f"{file} {error}.") from None


def _no_public_key(directory: Path) -> str:
    missing = f"There is no public key at {directory / PUBLIC_KEY}"
    if not (directory / PRIVATE_KEY).exists():
        return f"{missing}."
    return f"{missing}; `openssl pkey -pubout` makes it from {PRIVATE_KEY}."


def _ed25519(seed: bytes) -> Any:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed)


def _secp256k1(private_key: bytes) -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.derive_private_key(int.from_bytes(private_key, "big"), ec.SECP256K1())


def _pem(key: Any, passphrase: str | None) -> bytes:
    from cryptography.hazmat.primitives import serialization as s

    encryption = s.NoEncryption() if passphrase is None else s.BestAvailableEncryption(written(passphrase))
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
