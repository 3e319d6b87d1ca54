"""Key files as other tools write them: openssl, ring, geth, ethers; in any encoding and any normal form."""

import base64
import json
import os
import pty
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from eth_account import Account

from api.cli import quarry
from services.wallet import keyring, keystores, passphrases
from services.wallet.development import ACCOUNTS
from services.wallet.keyring import KeyringError, PassphraseNeeded
from services.wallet.keystores import BadKeystore, WrongPassphrase
from services.wallet.signers import Ed25519Signer, EthereumSigner
from shared import keys
from shared.addresses import address_of_public_key

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="OpenSSL's command is not installed")
ROOT = Path(__file__).parents[2]
KEY = bytes.fromhex(ACCOUNTS[1].private_key[2:])
SEED = bytes(range(32))
LIGHT = 2**10

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


@pytest.fixture(autouse=True)
def own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARRY_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("QUARRY_PASSPHRASE", raising=False)


def run(*arguments: str | Path, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(quarry, [str(item) for item in arguments], input=stdin)


def refused(result: Result, code: int, *words: str) -> None:
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    assert result.stderr.count("\n") == 1, result.stderr
    for word in words:
        assert word in result.stderr, result.stderr


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


# --- PEM: where the key stands ---------------------------------------------------------------------------------------

CERTIFICATE = pem("CERTIFICATE", b"0\x03\x02\x01\x05")
PLAIN = keys.private_key_pem(SEED)
BAG = b"""Bag Attributes
    localKeyID: 22 73 B2 E6
    friendlyName: Mein Schl\xfcssel
Key Attributes: <No Attributes>
"""


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
        (keys.public_key_pem(keys.KeyPair(SEED).public_key), "holds a public key, and no private key"),
        (PLAIN + keys.private_key_pem(bytes(32)), "holds 2 private keys"),
        (PLAIN[:70], "breaks off"),
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
    """Bag Attributes with a name that is no UTF-8, a certificate before the key, and the key encrypted or not."""
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


# --- Keystores -------------------------------------------------------------------------------------------------------

# geth's vectors (accounts/keystore/testdata/v3_test_vector.json): keys whose leading zeros were left out.
SHORT: dict[str, dict[str, Any]] = {
    "fa7b3db73dc7dfdf8c5fbdb796d741e4488628c41fc4febd9160a866ba0f35": {
        "crypto": {
            "cipher": "aes-128-ctr", "cipherparams": {"iv": "e0c41130a323adc1446fc82f724bca2f"},
            "ciphertext": "9517cd5bdbe69076f9bf5057248c6c050141e970efa36ce53692d5d59a3984", "kdf": "scrypt",
            "kdfparams": {"dklen": 32, "n": 2, "r": 8, "p": 1,
                          "salt": "711f816911c92d649fb4c84b047915679933555030b3552c1212609b38208c63"},
            "mac": "d5e116151c6aa71470e67a7d42c9620c75c4d23229847dcc127794f0732b0db5",
        },
        "id": "fecfc4ce-e956-48fd-953b-30f8b52ed66c", "version": 3,
    },
    "81c29e8142bb6a81bef5a92bda7a8328a5c85bb2f9542e76f9b0f94fc018": {
        "crypto": {
            "cipher": "aes-128-ctr", "cipherparams": {"iv": "3ca92af36ad7c2cd92454c59cea5ef00"},
            "ciphertext": "108b7d34f3442fc26ab1ab90ca91476ba6bfa8c00975a49ef9051dc675aa", "kdf": "scrypt",
            "kdfparams": {"dklen": 32, "n": 2, "r": 8, "p": 1,
                          "salt": "d0769e608fb86cda848065642a9c6fa046845c928175662b8e356c77f914cd3b"},
            "mac": "75d0e6759f7b3cefa319c3be41680ab6beea7d8328653474bd06706d4cc67420",
        },
        "id": "a37e1559-5955-450d-8075-7b8931b392b2", "version": 3,
    },
}  # fmt: skip


@pytest.mark.parametrize("expected", SHORT)
def test_short_keys_are_padded_as_geth_does_and_their_address_is_shown(tmp_path: Path, expected: str) -> None:
    key = bytes.fromhex(expected).rjust(32, b"\0")
    assert keystores.decrypt(json.dumps(SHORT[expected]).encode(), "foo") == key
    file = private(tmp_path / "short.json", json.dumps(SHORT[expected]))
    result = run("wallet", "import", file, "--scheme", "ethereum", stdin="foo\n")
    assert Account.from_key(key).address in result.stdout


def locked(key: bytes, passphrase: bytes = b"x", **change: Any) -> bytes:
    """A keystore of any bytes, by the definition."""
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


def test_what_is_behind_the_passphrase_is_looked_at() -> None:
    assert keystores.decrypt(locked(b"\x05"), "x") == bytes(31) + b"\x05"
    order = bytes.fromhex("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141")
    for key in (bytes(32), bytes(5), order, b"\xff" * 32):
        with pytest.raises(BadKeystore, match="no private key"):
            keystores.decrypt(locked(key), "x")
    for key in (b"", b"\x01" * 33, b"\x01" * 64):
        with pytest.raises(BadKeystore, match="32 bytes"):
            keystores.decrypt(locked(key), "x")


def test_a_keystore_that_names_another_address_is_refused(tmp_path: Path) -> None:
    right, other = ACCOUNTS[1].address, ACCOUNTS[2].address
    for spelled in (right, right.lower(), right[2:], right[2:].lower(), right.upper().replace("X", "x"), "", None):
        assert keystores.decrypt(locked(KEY, address=spelled), "x") == KEY
    wrong: tuple[Any, ...] = (other, other[2:].lower(), "00" * 20, "zz", "0x", right + "00", 5)
    for claimed in wrong:
        with pytest.raises(BadKeystore):
            keystores.decrypt(locked(KEY, address=claimed), "x")
    file = private(tmp_path / "k.json", locked(KEY, address=other))
    result = run("wallet", "import", file, "--scheme", "ethereum", stdin="x\n")
    refused(result, 1, "names another address", right)
    assert not (tmp_path / "home").exists()


# --- Passphrases -----------------------------------------------------------------------------------------------------

# "é ﬁ Å" as somebody may type it: é in two code points, the ligature ﬁ, the sign of the ångström.
TYPED = "e\u0301 \ufb01 \u212b"
# By ethers 6.17.0: encryptKeystoreJson(…, TYPED, {scrypt: {N: 2, r: 8, p: 1}}).
ETHERS = {
    "address": "70997970c51812dc3a010c7d01b50e0d17dc79c8", "id": "0036870f-698e-4ed8-bf4a-b584ee5870aa", "version": 3,
    "Crypto": {
        "cipher": "aes-128-ctr", "cipherparams": {"iv": "51ada2e42ef2f4d70ac87b4c85324966"},
        "ciphertext": "6a1b84ffde4af565d6ae6d70b13fb5f43ccc9f26cdae384809c9897150985b2b", "kdf": "scrypt",
        "kdfparams": {"salt": "3e0e61a21ded328b67774ca9355db8c49f14300d4de06ea74fd0ea6310f188af", "n": 2, "dklen": 32,
                      "p": 1, "r": 8},
        "mac": "b10f95013f9e4a4f308dfb09076ea2cda8a97d63699051cbd81eb26422b29255",
    },
}  # fmt: skip
FORMS = ("NFC", "NFD", "NFKC", "NFKD")


def spellings() -> list[str]:
    return [TYPED, *(unicodedata.normalize(form, TYPED) for form in FORMS)]  # type: ignore[arg-type] # four literals


@pytest.mark.parametrize("passphrase", spellings(), ids=["typed", *FORMS])
def test_a_keystore_of_ethers_opens_however_its_passphrase_is_typed(passphrase: str) -> None:
    assert keystores.decrypt(json.dumps(ETHERS).encode(), passphrase) == KEY
    with pytest.raises(WrongPassphrase):
        keystores.decrypt(json.dumps(ETHERS).encode(), passphrase + "x")


@pytest.mark.parametrize("written", spellings(), ids=["typed", *FORMS])
def test_a_keystore_of_geth_opens_as_it_was_typed(written: str) -> None:
    """geth and web3.py take the bytes as they come."""
    theirs = json.dumps(Account.encrypt(KEY, written, kdf="scrypt", iterations=LIGHT)).encode()
    assert keystores.decrypt(theirs, written) == KEY
    if written in spellings()[1:]:  # one of the normal forms, so any way to type it leads there
        equal = [other for other in spellings() if unicodedata.normalize("NFKC", other) == "\u00e9 fi \u00c5"]
        opened = [other for other in equal if _opens(theirs, other)]
        assert written in opened and unicodedata.normalize("NFD", written) in opened


def _opens(keystore: bytes, passphrase: str) -> bool:
    try:
        return keystores.decrypt(keystore, passphrase) == KEY
    except WrongPassphrase:
        return False


@pytest.mark.parametrize("passphrase", spellings(), ids=["typed", *FORMS])
def test_what_we_write_opens_in_ethers(passphrase: str) -> None:
    """That is NFKC, which eth_account, like geth, must then be given."""
    ours = keystores.encrypt(KEY, passphrase, n=LIGHT)
    assert bytes(Account.decrypt(ours, "\u00e9 fi \u00c5")) == KEY
    for other in spellings():
        assert keystores.decrypt(json.dumps(ours).encode(), other) == KEY


@pytest.mark.parametrize("scheme", ["ed25519", "ethereum"])
def test_a_wallet_opens_however_its_passphrase_is_typed(tmp_path: Path, scheme: str) -> None:
    make = keyring.create if scheme == "ed25519" else keyring.create_ethereum
    address = make(tmp_path / "w", TYPED).address
    for passphrase in spellings():
        assert keyring.load_signer(tmp_path / "w", passphrase).address == address
    with pytest.raises(PassphraseNeeded):
        keyring.load_signer(tmp_path / "w", TYPED + "x")


@needs_openssl
def test_a_wallet_whose_passphrase_was_written_as_it_was_typed_still_opens(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    (tmp_path / "pass").write_text(TYPED)
    openssl("pkcs8", "-topk8", "-passout", f"file:{tmp_path / 'pass'}", "-out", file, stdin=PLAIN)
    file.chmod(0o600)
    assert seed_of(file, TYPED) == SEED


def test_a_passphrase_that_is_no_text(tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9")  # as an environment variable in Latin-1 arrives
    assert passphrases.readings(odd) == [b"caf\xe9"]
    assert passphrases.readings("\ud800") == []
    for encrypt in (lambda: keystores.encrypt(KEY, odd, n=2), lambda: keyring.create(tmp_path / "w", odd)):
        with pytest.raises(passphrases.BadPassphrase):
            encrypt()
    assert not (tmp_path / "w").exists()
    assert keystores.decrypt(locked(KEY, b"caf\xe9"), odd) == KEY


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keystores that are made quickly."""
    encrypt = keystores.encrypt
    monkeypatch.setattr(keystores, "encrypt", lambda key, passphrase: encrypt(key, passphrase, n=LIGHT))


@pytest.mark.usefixtures("light")
def test_enter_is_the_empty_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.cli.terminal.is_attended", lambda: True)
    file = private(tmp_path / "k.json", locked(KEY, b""))
    result = run("wallet", "import", file, "--scheme", "ethereum", "--name", "eve", stdin="\n")
    assert ACCOUNTS[1].address in result.stdout
    private(tmp_path / "k.json", locked(KEY, b"x"))
    result = run("wallet", "import", file, "--scheme", "ethereum", "--name", "b", stdin="\n")
    assert result.exit_code == 1 and "not opened" in result.stderr
    # Writing: said clearly.
    result = run("wallet", "export", "eve", tmp_path / "out.json", stdin="\n\n")
    assert result.exit_code == 0 and "unprotected" in result.stderr
    assert keystores.decrypt((tmp_path / "out.json").read_bytes(), "") == KEY
    result = run("wallet", "new", "dora", "--passphrase", stdin="\n\n")
    assert result.exit_code == 1 and "unprotected" in result.stderr
    assert not (tmp_path / "home" / "wallets" / "dora").exists()


def test_enter_at_a_real_terminal(tmp_path: Path) -> None:
    file = private(tmp_path / "k.json", locked(KEY, b""))
    command = [sys.executable, "-m", "api.cli", "wallet", "import", str(file), "--scheme", "ethereum", "--name", "eve"]
    environment = {**os.environ, "QUARRY_DATA_HOME": str(tmp_path / "home")}
    master, slave = pty.openpty()
    try:
        with subprocess.Popen(
            command,
            stdin=slave,
            stdout=subprocess.PIPE,
            stderr=slave,
            cwd=ROOT,
            env=environment,
            start_new_session=True,
        ) as child:
            seen = b""
            while b"Passphrase of the keystore" not in seen:
                seen += os.read(master, 1000)
            os.write(master, b"\n")
            out, _ = child.communicate(timeout=60)
    finally:
        os.close(master)
        os.close(slave)
    assert ACCOUNTS[1].address.encode() in out


@pytest.mark.usefixtures("light")
def test_an_empty_line_of_input_is_the_empty_passphrase_and_no_line_is_none(tmp_path: Path) -> None:
    file = private(tmp_path / "k.json", locked(KEY, b""))
    arguments = ("wallet", "import", file, "--scheme", "ethereum")
    assert ACCOUNTS[1].address in run(*arguments, "--name", "a", stdin="\n").stdout
    assert ACCOUNTS[1].address in run(*arguments, "--name", "b", stdin="").stdout
    refused(run("wallet", "export", "a", tmp_path / "out", stdin=""), 2, "first line of input")
    result = run("wallet", "export", "a", tmp_path / "out", stdin="\n")
    assert result.exit_code == 0 and "unprotected" in result.stderr


# --- Encodings -------------------------------------------------------------------------------------------------------

PHRASE = "test test test test test test test test test test test junk"
MARKED = {"utf-8-sig": None, "utf-16": "UTF-16", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16", "utf-32": "UTF-32"}


@pytest.mark.parametrize("encoding", MARKED)
@pytest.mark.parametrize(
    "text",
    [ACCOUNTS[0].private_key + "\r\n", ACCOUNTS[0].private_key[2:].upper(), "0X" + ACCOUNTS[0].private_key[2:], PHRASE],
)
def test_keys_and_phrases_in_other_encodings_are_read_or_named(tmp_path: Path, text: str, encoding: str) -> None:
    file = private(tmp_path / "key.txt", text.encode(encoding))
    for arguments, stdin in (((file,), None), (("-",), file.read_bytes())):
        result = run("wallet", "import", *arguments, "--scheme", "ethereum", "--name", "w", stdin=stdin)
        if MARKED[encoding] is None:
            assert ACCOUNTS[0].address in result.stdout, result.output
            shutil.rmtree(tmp_path / "home")
        else:
            refused(result, 1, f"is in {MARKED[encoding]}: save it as UTF-8", "key.txt" if stdin is None else "input")


@pytest.mark.parametrize("encoding", MARKED)
def test_keystores_in_other_encodings_are_read_or_named(tmp_path: Path, encoding: str) -> None:
    file = private(tmp_path / "k.json", locked(KEY).decode().encode(encoding))
    result = run("wallet", "import", file, "--scheme", "ethereum", stdin="x\n")
    if MARKED[encoding] is None:
        assert ACCOUNTS[1].address in result.stdout
    else:
        refused(result, 1, "k.json", f"{MARKED[encoding]}")


@pytest.mark.parametrize("encoding", MARKED)
def test_transactions_in_other_encodings_are_read_or_named(tmp_path: Path, encoding: str) -> None:
    run("wallet", "new", "alice")
    unsigned = {"type": "transfer", "nonce": 0, "recipient": ACCOUNTS[0].address, "amount": "1", "fee": "0"}
    (tmp_path / "t.json").write_bytes(json.dumps(unsigned).encode(encoding))
    result = run("wallet", "sign", tmp_path / "t.json", "--from", "alice")
    if MARKED[encoding] is None:
        assert json.loads(result.stdout)["amount"] == "1"
    else:
        refused(result, 1, "t.json", f"{MARKED[encoding]}")


@pytest.mark.parametrize("encoding", MARKED)
def test_chain_files_in_other_encodings_are_read_or_named(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "c").write_bytes(b'{"spec": {}, "genesis": ""}\n'.decode().encode(encoding))
    words = MARKED[encoding] or "lacks name"  # which is what is wrong with this spec, so it was read
    refused(run("chain", "import", tmp_path / "c", "--redis-url", "redis://127.0.0.1:1/0"), 1, words)


def test_a_passphrase_from_a_pipe_in_utf_16_is_named(tmp_path: Path) -> None:
    file = private(tmp_path / "k.json", locked(KEY))
    arguments = ("wallet", "import", file, "--scheme", "ethereum")
    refused(run(*arguments, stdin="x\n".encode("utf-16")), 1, "Standard input is in UTF-16")
    assert ACCOUNTS[1].address in run(*arguments, stdin="x\n".encode("utf-8-sig")).stdout


@pytest.mark.parametrize("scheme", [(), ("--scheme", "ethereum")])
def test_what_is_no_file_is_named_and_keeps_nobody_waiting(tmp_path: Path, scheme: tuple[str, ...]) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "directory").mkdir(mode=0o700)
    large = private(tmp_path / "large", b"x" * 10**6)
    for path, words in (
        (tmp_path / "pipe", "a named pipe"),
        (tmp_path / "directory", "irectory"),
        (Path("/dev/zero"), "a device"),
        (tmp_path / "none", str(tmp_path / "none")),
        (large, "too large"),
    ):
        result = run("wallet", "import", path, "--name", "x", *scheme)
        # Without a scheme it may be a key directory.
        refused(result, 1, "no private key" if not scheme and path.name == "directory" else words)


def test_a_pipe_of_the_shell_is_a_file(tmp_path: Path) -> None:
    """`quarry wallet import <(pass show key)`: the secret is in no file."""
    plain = private(tmp_path / "key.pem", PLAIN)
    environment = {**os.environ, "QUARRY_DATA_HOME": str(tmp_path / "home")}
    for command, options, address in (
        (f"echo {PHRASE}", "--scheme ethereum --name x", ACCOUNTS[0].address),
        (f"cat {plain}", "--name y", keys.KeyPair(SEED).address),
    ):
        line = f"{sys.executable} -m api.cli wallet import <(sleep 0.2; {command}) {options}"
        done = subprocess.run(
            ["bash", "-c", line], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert address in done.stdout, done.stderr


# --- All of a wallet, or nothing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("failing", ["private.key", "public.key", "certificate.pem"])
@pytest.mark.parametrize("exists", [False, True])
def test_a_wallet_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, exists: bool
) -> None:
    """The disk fills up in the middle: the name stays free, and a node's directory stays as it was."""
    directory = tmp_path / "home" / "wallets" / "alice"
    if exists:
        directory.mkdir(parents=True)
        (directory / "admin-token").write_text("t")
    real = os.fsync

    def full(descriptor: int) -> None:
        if failing in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeyringError, match="No space left"):
        keyring.create(directory)
    monkeypatch.undo()
    left = sorted(path.name for path in (tmp_path / "home" / "wallets").rglob("*"))
    assert left == (["admin-token", "alice"] if exists else [])
    assert keyring.load(directory).address if keyring.create(directory) else False


def test_of_two_who_make_the_same_wallet_one_wins(tmp_path: Path) -> None:
    made = keyring.create(tmp_path / "alice")
    (tmp_path / "other").mkdir()
    real = Path.exists
    pretend = pytest.MonkeyPatch()
    pretend.setattr(
        Path, "exists", lambda path: path != tmp_path / "alice" and real(path)
    )  # looked before it was there
    try:
        with pytest.raises(KeyringError, match="never replaced"):
            keyring.create(tmp_path / "alice")
    finally:
        pretend.undo()
    assert keyring.load(tmp_path / "alice").seed == made.seed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alice", "other"]


@pytest.mark.parametrize("target", ["> /dev/full", "| true"])
@pytest.mark.parametrize("options", ["", "--json"])
def test_a_phrase_that_could_not_be_shown_leaves_no_wallet(tmp_path: Path, target: str, options: str) -> None:
    new = f"{sys.executable} -m api.cli wallet new eve --scheme ethereum --words 12 {options}"
    environment = {**os.environ, "QUARRY_DATA_HOME": str(tmp_path / "home")}
    command = f"set -o pipefail; {new} {target}"
    done = subprocess.run(["bash", "-c", command], env=environment, cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 1
    assert list((tmp_path / "home" / "wallets").iterdir()) == []


def test_only_the_key_is_discarded(tmp_path: Path) -> None:
    keyring.create(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    keyring.discard(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_place_that_is_no_directory_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("QUARRY_WALLETS", str(tmp_path / "file"))
    refused(run("wallet", "new", "alice"), 1, "cannot be written", str(tmp_path / "file"))


def test_both_schemes_are_told_apart(tmp_path: Path) -> None:
    assert isinstance(keyring.load_signer(private(tmp_path / "a", PLAIN)), Ed25519Signer)
    keyring.store_ethereum(tmp_path / "b", KEY)
    assert isinstance(keyring.load_signer(tmp_path / "b"), EthereumSigner)
