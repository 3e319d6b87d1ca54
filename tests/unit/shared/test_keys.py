"""Ed25519 keys and their PEM files, also against the openssl command. Edge cases: consensus/test_vectors."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import keys
from shared.keys import BadKey, KeyPair

SEED = bytes(range(32))
openssl = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(openssl is None, reason="the openssl command is not installed")


def run(*arguments: str) -> bytes:
    assert openssl is not None
    return subprocess.run([openssl, *arguments], check=True, capture_output=True, timeout=30).stdout


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200))
def test_sign_and_verify(seed: bytes, message: bytes) -> None:
    key = KeyPair(seed)
    signature = key.sign(message)
    assert keys.verify(key.public_key, message, signature)
    assert not keys.verify(key.public_key, message + b"\0", signature)
    assert signature == KeyPair(seed).sign(message) and len(signature) == 64
    assert key.seed == seed


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_seed_has_32_bytes(size: int) -> None:
    with pytest.raises(BadKey):
        KeyPair(bytes(size))


def test_pem_files_are_those_of_the_standard_library_of_cryptography() -> None:
    key = KeyPair(SEED)
    theirs = Ed25519PrivateKey.from_private_bytes(SEED)
    assert keys.private_key_pem(SEED) == theirs.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert keys.public_key_pem(key.public_key) == theirs.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@pytest.mark.parametrize(
    "change", [lambda pem: pem, lambda pem: pem.replace(b"\n", b"\r\n"), lambda pem: b"\n" + pem + b"\n"]
)
def test_pem_round_trip(change: Callable[[bytes], bytes]) -> None:
    key = KeyPair(SEED)
    assert keys.read_private_key_pem(change(keys.private_key_pem(SEED))) == SEED
    assert keys.read_public_key_pem(change(keys.public_key_pem(key.public_key))) == key.public_key


NOT_KEYS: dict[str, bytes] = {
    "empty": b"",
    "words": b"a private key",
    "not ASCII": "schlüssel".encode("latin-1"),
    "cut": keys.private_key_pem(SEED)[:60],
    "no base64": b"-----BEGIN PRIVATE KEY-----\n!!!!\n-----END PRIVATE KEY-----\n",
    "longer": keys.private_key_pem(SEED + b"\0"),
    "shorter": keys.private_key_pem(SEED[:-1]),
    "the public key": keys.public_key_pem(SEED),
    "the public key under a wrong name": keys.public_key_pem(SEED).replace(b"PUBLIC", b"PRIVATE"),
    "X25519": keys.private_key_pem(SEED).replace(b"K2VwBCIE", b"K2VuBCIE"),
    "encrypted": Ed25519PrivateKey.from_private_bytes(SEED).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    ),
}


@pytest.mark.parametrize("text", NOT_KEYS.values(), ids=NOT_KEYS.keys())
def test_what_is_no_private_key_is_refused_without_being_shown(text: bytes) -> None:
    with pytest.raises(BadKey) as caught:
        keys.read_private_key_pem(text)
    assert str(caught.value) == "Not an Ed25519 private key in PEM."


def test_a_private_key_is_no_public_key() -> None:
    with pytest.raises(BadKey):
        keys.read_public_key_pem(keys.private_key_pem(SEED))


@needs_openssl
def test_keys_made_by_openssl_are_read(tmp_path: Path) -> None:
    private, public = tmp_path / "private.key", tmp_path / "public.key"
    run("genpkey", "-algorithm", "ed25519", "-out", str(private))
    run("pkey", "-in", str(private), "-pubout", "-out", str(public))
    key = KeyPair(keys.read_private_key_pem(private.read_bytes()))
    assert keys.read_public_key_pem(public.read_bytes()) == key.public_key
    # and ours are theirs, byte for byte
    assert keys.private_key_pem(key.seed) == private.read_bytes()
    assert keys.public_key_pem(key.public_key) == public.read_bytes()


@needs_openssl
def test_openssl_verifies_our_signatures_and_makes_the_same(tmp_path: Path) -> None:
    key, message = KeyPair(SEED), b"quarry-transaction:{}"
    files = {
        "private.key": keys.private_key_pem(SEED),
        "public.key": keys.public_key_pem(key.public_key),
        "message": message,
        "changed": message + b" ",
        "signature": key.sign(message),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    path = {name: str(tmp_path / name) for name in files}
    verify = ["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", path["public.key"], "-sigfile", path["signature"]]
    assert b"Successfully" in run(*verify, "-in", path["message"])
    with pytest.raises(subprocess.CalledProcessError):
        run(*verify, "-in", path["changed"])
    signed = run("pkeyutl", "-sign", "-rawin", "-inkey", path["private.key"], "-in", path["message"])
    assert signed == key.sign(message)
