"""JSON keystores, version 3: one private key encrypted with a passphrase, as geth and other Ethereum wallets write it.

Web3 Secret Storage: a key derivation function makes 32 bytes from the passphrase. The first half encrypts the private
key (AES-128-CTR); the Keccak-256 of the second half and the ciphertext shows whether a passphrase is right.
"""

import hashlib
import hmac
import json
import os
import uuid
from typing import Any

from services.wallet.passphrases import readings, written
from shared import ethereum, wire
from shared.errors import InputError, NodeError
from shared.hashing import keccak256

# geth's standard: 256 MiB and about a second.
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 2**18, 8, 1
# The most work that an untrusted keystore may ask for.
_MAX_SCRYPT_BYTES = 2**30
_MAX_SCRYPT_P = 16
_MAX_ITERATIONS = 10_000_000


class BadKeystore(NodeError):
    """The keystore cannot be used. The message never repeats its content."""


class WrongPassphrase(NodeError):
    """The passphrase does not open the keystore."""


def encrypt(private_key: bytes, passphrase: str, *, n: int = _SCRYPT_N) -> dict[str, Any]:
    """The keystore of a secp256k1 private key (32 bytes).

    Args:
        n: scrypt's cost, a power of two; less than the default is for tests.

    Raises:
        BadPassphrase: the passphrase is not UTF-8.
    """
    salt, iv = os.urandom(32), os.urandom(16)
    derived = _scrypt(written(passphrase), salt, n, _SCRYPT_R, _SCRYPT_P)
    ciphertext = _aes_ctr(derived[:16], iv, private_key)
    return {
        "version": 3,
        "id": str(uuid.UUID(bytes=os.urandom(16), version=4)),
        "address": ethereum.address_of_private_key(private_key)[2:].lower(),
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": {"iv": iv.hex()},
            "ciphertext": ciphertext.hex(),
            "kdf": "scrypt",
            "kdfparams": {"dklen": 32, "n": n, "r": _SCRYPT_R, "p": _SCRYPT_P, "salt": salt.hex()},
            "mac": keccak256(derived[16:] + ciphertext).hex(),
        },
    }


def decrypt(text: bytes, passphrase: str) -> bytes:
    """The private key (32 bytes) of a keystore's JSON.

    Some early wallets left out a key's leading zeros; such a key is padded, as geth does.

    Args:
        passphrase: in any normal form; every form that may have encrypted the file is tried.

    Raises:
        BadKeystore, WrongPassphrase
    """
    try:
        keystore = wire.parse(text, floats=True)
        if keystore.get("version") != 3:
            raise BadKeystore("The keystore is not of version 3.")
        crypto = keystore["crypto"] if "crypto" in keystore else keystore["Crypto"]  # as some early wallets write it
        if crypto["cipher"] != "aes-128-ctr":
            raise BadKeystore("The keystore's cipher is not aes-128-ctr.")
        iv, ciphertext, mac = (
            _hex(item) for item in (crypto["cipherparams"]["iv"], crypto["ciphertext"], crypto["mac"])
        )
        claimed = _hex(keystore["address"]) if keystore.get("address") else None
        if not 0 < len(ciphertext) <= 32 or len(iv) != 16:
            raise BadKeystore("The keystore does not hold a private key of 32 bytes.")
        for reading in readings(passphrase):
            derived = _derive(crypto["kdf"], crypto["kdfparams"], reading)
            if hmac.compare_digest(keccak256(derived[16:32] + ciphertext), mac):
                break
        else:
            raise WrongPassphrase("This passphrase does not open the keystore.")
    except (InputError, KeyError, TypeError, AttributeError, ValueError):
        raise BadKeystore("The file is not a keystore of version 3.") from None
    return _checked(_aes_ctr(derived[:16], iv, ciphertext).rjust(32, b"\0"), claimed)


def _checked(private_key: bytes, claimed: bytes | None) -> bytes:
    """A private key that can sign, and whose address is the one that its keystore names."""
    try:
        address = ethereum.address_of_private_key(private_key)
    except InputError:
        raise BadKeystore("The keystore does not hold a valid private key.") from None
    if claimed is not None and claimed != bytes.fromhex(address[2:]):
        # An importer would expect the account that it names. geth refuses it too.
        raise BadKeystore(f"The keystore names another address than its key's, which is {address}.")
    return private_key


def is_keystore(text: bytes) -> bool:
    """Whether `text` looks like a keystore rather than a key or a phrase."""
    return text.lstrip()[:1] == b"{"


def to_bytes(keystore: dict[str, Any]) -> bytes:
    """The file of a keystore."""
    return json.dumps(keystore, indent=2).encode() + b"\n"


def _derive(name: str, given: dict[str, Any], passphrase: bytes) -> bytes:
    salt = _hex(given["salt"])
    if given["dklen"] != 32:
        raise BadKeystore("The keystore derives a key of an unusual length.")
    if name == "scrypt":
        return _scrypt(passphrase, salt, given["n"], given["r"], given["p"])
    if name == "pbkdf2" and given["prf"] == "hmac-sha256":
        count = given["c"]
        if type(count) is not int or not 0 < count <= _MAX_ITERATIONS:
            raise BadKeystore("The keystore asks for too much work.")
        return hashlib.pbkdf2_hmac("sha256", passphrase, salt, count, 32)
    raise BadKeystore("The keystore's key derivation function is neither scrypt nor pbkdf2 with hmac-sha256.")


def _scrypt(passphrase: bytes, salt: bytes, n: int, r: int, p: int) -> bytes:
    if any(type(item) is not int or item < 1 for item in (n, r, p)):
        raise BadKeystore("The keystore's scrypt parameters are not positive integers.")
    if 128 * n * r > _MAX_SCRYPT_BYTES or p > _MAX_SCRYPT_P:
        raise BadKeystore("The keystore asks for too much work.")
    if n.bit_length() <= 16 * r:
        return hashlib.scrypt(passphrase, salt=salt, n=n, r=r, p=p, dklen=32, maxmem=2 * _MAX_SCRYPT_BYTES - 1)
    return _slow_scrypt(passphrase, salt, n, r, p)


def _slow_scrypt(passphrase: bytes, salt: bytes, n: int, r: int, p: int) -> bytes:
    """For parameters that OpenSSL, and so hashlib, refuses, such as those of the specification's example."""
    from Crypto.Protocol.KDF import scrypt

    derived = scrypt(passphrase, salt, 32, n, r, p)  # type: ignore[arg-type] # bytes are taken
    assert isinstance(derived, bytes), "one key was asked for"
    return derived


def _aes_ctr(key: bytes, iv: bytes, data: bytes) -> bytes:
    """Encrypt or decrypt: in counter mode they are the same."""
    from Crypto.Cipher import AES

    return AES.new(key, AES.MODE_CTR, nonce=b"", initial_value=iv).encrypt(data)


def _hex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
