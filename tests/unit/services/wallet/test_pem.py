"""Private keys in PEM as openssl and ring write them, with anything else that the file may hold."""

import base64
import json
import os
from pathlib import Path

import pytest

from services.wallet import ed25519_pem, keyring
from services.wallet.keyring import KeyringError, PassphraseNeeded
from shared import keys
from shared.addresses import address_of_public_key
from tests.support.cli import refused, run
from tests.support.key_files import BAG, PLAIN, SEED, needs_openssl, openssl, pem, private, seed_of

# RFC 8410, section 10.3: a private key, and the same with attributes and its public key (version 2).
RFC_8410 = b"""-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
"""
RFC_8410_V2 = b"""-----BEGIN PRIVATE KEY-----
MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
oB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB
Z9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PRIVATE KEY-----
"""
RFC_8410_SEED = bytes.fromhex("d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842")
# Section 10.1: the public key that belongs to it.
RFC_8410_PUBLIC = bytes.fromhex("19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1")


pytestmark = pytest.mark.usefixtures("own_environment")


# --- Where the key stands --------------------------------------------------------------------------------------------

CERTIFICATE = pem("CERTIFICATE", b"0\x03\x02\x01\x05")


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        BAG + PLAIN,
        CERTIFICATE + BAG + PLAIN + CERTIFICATE,
        (BAG + PLAIN).replace(b"\n", b"\r\n"),
        PLAIN.replace(b"\n", b"\r"),
        b"\xef\xbb\xbf" + PLAIN,
        b"\xef\xbb\xbf" + (BAG + PLAIN).replace(b"\n", b"\r\n"),
        b"  \n\n" + PLAIN + b"\n  \n",
        PLAIN.replace(b"\n", b"  \n"),
        PLAIN.replace(b"\n", b"\n    ").replace(b"    -----END", b"-----END"),
        PLAIN[:-1],
        PLAIN + PLAIN,  # the same key twice
        pem("EC PARAMETERS", b"\x06\x05+\x81\x04\x00\n") + PLAIN,
    ],
    ids=range(13),
)
def test_a_key_is_found_wherever_it_stands_in_the_file(tmp_path: Path, text: bytes) -> None:
    assert seed_of(private(tmp_path / "key.pem", text)) == SEED
    made = json.loads(run("wallet", "import", tmp_path / "key.pem", "--json").stdout)
    assert made["address"] == keys.KeyPair(SEED).address


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "holds no private key in PEM"),
        (b"hello\n", "holds no private key in PEM"),
        (CERTIFICATE, "holds a certificate, and no private key"),
        (ed25519_pem.public_key_pem(keys.KeyPair(SEED).public_key), "holds a public key, and no private key"),
        (PLAIN + ed25519_pem.private_key_pem(bytes(32)), "holds 2 private keys"),
        (PLAIN[:70], "cut off"),
        (PLAIN.replace(b"MC4C", b"M!4C"), "is damaged"),
        (pem("OPENSSH PRIVATE KEY", b"openssh-key-v1\0"), "OpenSSH's own format"),
        (pem("RSA PRIVATE KEY", b"0\x00"), "neither an Ed25519 nor a secp256k1"),
        (base64.b64decode(b"".join(PLAIN.splitlines()[1:-1])) + b"\xff", "is binary, not PEM"),
        (PLAIN.decode().encode("utf-16"), "is in UTF-16: save it as UTF-8"),
        (PLAIN.decode().encode("utf-16-le"), "is in UTF-16: save it as UTF-8"),
        (PLAIN.decode().encode("utf-16-be"), "is in UTF-16: save it as UTF-8"),
        (PLAIN.decode().encode("utf-32"), "is in UTF-32: save it as UTF-8"),
        (pem("PRIVATE KEY", b"\x30\x03\x02\x01\x00"), "holds no private key that can be used"),
        (pem("PRIVATE KEY", b"\x30\x80"), "holds no private key that can be used"),
        (pem("PRIVATE KEY", b"\xff" * 50), "holds no private key that can be used"),
    ],
)
def test_what_is_no_key_is_named(tmp_path: Path, text: bytes, words: str) -> None:
    file = private(tmp_path / "key.pem", text)
    with pytest.raises(KeyringError, match=words):
        keyring.load_signer(file)
    refused(run("wallet", "import", file), 1, "key.pem", words)
    assert not (tmp_path / "home").exists()


@needs_openssl
def test_what_openssl_pkcs12_writes_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bag Attributes with a name that is not UTF-8, a certificate before the key, and the key encrypted or not."""
    key, archive = tmp_path / "key.pem", tmp_path / "key.p12"
    openssl("ecparam", "-name", "secp256k1", "-genkey", "-out", key)
    certificate = openssl("req", "-x509", "-key", key, "-subj", "/CN=x")
    (tmp_path / "cert.pem").write_bytes(certificate)
    export = ("pkcs12", "-export", "-inkey", key, "-in", tmp_path / "cert.pem", "-name", "Schl\u00fcssel")
    openssl(*export, "-passout", "pass:horse", "-out", archive)
    plain = private(
        tmp_path / "plain.pem", openssl("pkcs12", "-in", archive, "-nodes", "-passin", "pass:horse", "-nomacver")
    )
    locked = private(
        tmp_path / "locked.pem", openssl("pkcs12", "-in", archive, "-passin", "pass:horse", "-passout", "pass:cow")
    )
    assert plain.read_bytes().startswith(b"Bag Attributes")
    expected = keyring.load_signer(private(key, key.read_bytes())).address
    assert json.loads(run("wallet", "import", plain, "--json").stdout)["address"] == expected
    refused(run("wallet", "import", locked), 1, "encrypted", "QUARRY_PASSPHRASE")
    monkeypatch.setenv("QUARRY_PASSPHRASE", "cow")
    assert json.loads(run("wallet", "import", locked, "--json").stdout)["address"] == expected
    refused(run("wallet", "import", private(tmp_path / "binary", archive.read_bytes())), 1, "binary", "pkcs12")


@needs_openssl
@pytest.mark.parametrize("cipher", ["-aes128", "-aes256", "-des3"])
def test_the_old_encryption_of_openssl_asks_for_its_passphrase(
    tmp_path: Path, cipher: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, locked = tmp_path / "plain.pem", tmp_path / "locked.pem"
    openssl("ecparam", "-name", "secp256k1", "-genkey", "-out", plain)
    openssl("ec", "-in", plain, cipher, "-passout", "pass:horse", "-out", locked)
    for file in (plain, locked):
        file.chmod(0o600)
    assert b"Proc-Type: 4,ENCRYPTED" in locked.read_bytes()
    expected = keyring.load_signer(plain).address
    for text in (locked.read_bytes(), BAG + locked.read_bytes().replace(b"\n", b"\r\n")):
        private(locked, text)
        assert keyring.is_encrypted(locked)
        for wrong in (None, "", "cow"):
            with pytest.raises(PassphraseNeeded):
                keyring.load_signer(locked, wrong)
        assert keyring.load_signer(locked, "horse").address == expected
    monkeypatch.setenv("QUARRY_PASSPHRASE", "horse")
    assert json.loads(run("wallet", "import", locked, "--json").stdout)["address"] == expected


# --- PKCS#8, version 2 -----------------------------------------------------------------------------------------------


def ring(seed: bytes, public: bytes, tag: bytes) -> bytes:
    """The document that ring's `generate_pkcs8` writes for an Ed25519 key, by its template."""
    inner = bytes.fromhex("0201013005 06032b6570 04220420") + seed + tag + public
    return pem("PRIVATE KEY", b"\x30" + bytes([len(inner)]) + inner)


EXPLICIT, IMPLICIT = b"\xa1\x23\x03\x21\x00", b"\x81\x21\x00"  # as ring wrote at first, and since


def test_the_examples_of_rfc_8410(tmp_path: Path) -> None:
    for text in (RFC_8410, RFC_8410_V2):
        assert seed_of(private(tmp_path / "key.pem", text)) == RFC_8410_SEED
    made = json.loads(run("wallet", "import", tmp_path / "key.pem", "--json").stdout)
    assert (made["address"], made["public_key"]) == (address_of_public_key(RFC_8410_PUBLIC), RFC_8410_PUBLIC.hex())


@pytest.mark.parametrize("tag", [EXPLICIT, IMPLICIT])
def test_what_ring_writes_is_read_if_both_keys_belong_together(tmp_path: Path, tag: bytes) -> None:
    public = keys.KeyPair(SEED).public_key
    assert seed_of(private(tmp_path / "key.pem", ring(SEED, public, tag))) == SEED
    private(tmp_path / "key.pem", ring(SEED, RFC_8410_PUBLIC, tag))
    with pytest.raises(KeyringError, match="the public key of another"):
        keyring.load(tmp_path / "key.pem")


# RFC_8410_V2 by PKCS#8's own encryption, PBES2 with AES-256-CBC, made with PyCryptodome; the passphrase is "horse".
@pytest.mark.parametrize("passphrase", ["horse", ""])
def test_version_2_is_read_behind_a_passphrase(tmp_path: Path, passphrase: str) -> None:
    from Crypto.IO import _PBES

    der = base64.b64decode(b"".join(RFC_8410_V2.splitlines()[1:-1]))
    locked = _PBES.PBES2.encrypt(der, passphrase.encode(), "PBKDF2WithHMAC-SHA256AndAES256-CBC", {}, os.urandom)
    file = private(tmp_path / "key.pem", pem("ENCRYPTED PRIVATE KEY", locked))
    assert seed_of(file, passphrase) == RFC_8410_SEED
    for wrong in (None, "cow"):
        with pytest.raises(PassphraseNeeded):
            keyring.load(file, wrong)


@needs_openssl
def test_the_empty_passphrase_opens_what_openssl_locked_with_it(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    openssl("pkcs8", "-topk8", "-passout", "pass:", "-out", file, stdin=PLAIN)
    file.chmod(0o600)
    assert keyring.is_encrypted(file)
    assert seed_of(file, "") == SEED
    with pytest.raises(PassphraseNeeded):
        keyring.load(file, "x")
