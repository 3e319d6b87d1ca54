"""Key files for tests: known keys, private files, OpenSSL's command, keystores."""

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from services.wallet import ed25519_pem, keyring, keystores
from services.wallet.development import ACCOUNTS

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="OpenSSL's command is not installed")
KEY = bytes.fromhex(ACCOUNTS[1].private_key[2:])
SEED = bytes(range(32))
LIGHT = 2**10  # a low cost of scrypt, so that tests are fast
PHRASE = "test test test test test test test test test test test junk"
PLAIN = ed25519_pem.private_key_pem(SEED)
BAG = b"""Bag Attributes
    localKeyID: 22 73 B2 E6
    friendlyName: Mein Schl\xfcssel
Key Attributes: <No Attributes>
"""


def private(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(0o600)
    return path


def openssl(*arguments: str | Path, stdin: bytes = b"") -> bytes:
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, input=stdin).stdout


def pem(label: str, der: bytes) -> bytes:
    return f"-----BEGIN {label}-----\n{base64.b64encode(der).decode()}\n-----END {label}-----\n".encode()


def seed_of(path: Path, passphrase: str | None = None) -> bytes:
    return keyring.load(path, passphrase).seed


def locked(key: bytes, passphrase: bytes = b"x", **change: Any) -> bytes:
    """A keystore of any bytes, written by the Web3 Secret Storage Definition."""
    from Crypto.Cipher import AES

    from shared.hashing import keccak256

    derived = keystores._scrypt(passphrase, b"salt", 2, 8, 1)
    ciphertext = AES.new(derived[:16], AES.MODE_CTR, nonce=b"", initial_value=bytes(16)).encrypt(key)
    crypto = {
        "cipher": "aes-128-ctr", "cipherparams": {"iv": bytes(16).hex()}, "ciphertext": ciphertext.hex(),
        "kdf": "scrypt", "kdfparams": {"dklen": 32, "n": 2, "r": 8, "p": 1, "salt": b"salt".hex()},
        "mac": keccak256(derived[16:] + ciphertext).hex(),
    }  # fmt: skip
    return json.dumps({"version": 3, "crypto": crypto, **change}).encode()
