"""Keystores of geth and ethers, and passphrases in any normal form, or empty."""

import json
import os
import pty
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from services.system.programs import ROOT
from services.wallet import keyring, keystores, passphrases
from services.wallet.development import ACCOUNTS
from services.wallet.keyring import PassphraseNeeded
from services.wallet.keystores import BadKeystore, WrongPassphrase
from tests.support.cli import refused, run
from tests.support.key_files import KEY, LIGHT, PLAIN, SEED, locked, needs_openssl, openssl, private, seed_of

pytestmark = pytest.mark.usefixtures("own_environment")


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


def test_what_is_behind_the_passphrase_is_looked_at() -> None:
    assert keystores.decrypt(locked(b"\x05"), "x") == bytes(31) + b"\x05"
    order = bytes.fromhex("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141")
    for key in (bytes(32), bytes(5), order, b"\xff" * 32):
        with pytest.raises(BadKeystore, match="not hold a valid private key"):
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

# "é ﬁ Å" as it may be typed: é in two code points, the ligature ﬁ, the sign of the ångström.
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
    """geth and web3.py encrypt with the bytes as typed, without a normal form."""
    theirs = json.dumps(Account.encrypt(KEY, written, kdf="scrypt", iterations=LIGHT)).encode()
    assert keystores.decrypt(theirs, written) == KEY
    if written in spellings()[1:]:  # a normal form, so every spelling normalises to it
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
    """New files are encrypted with NFKC, so eth_account and geth need the passphrase in that form."""
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


@pytest.mark.usefixtures("light")
def test_enter_is_the_empty_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.cli.terminal.is_attended", lambda: True)
    file = private(tmp_path / "k.json", locked(KEY, b""))
    result = run("wallet", "import", file, "--scheme", "ethereum", "--name", "eve", stdin="\n")
    assert ACCOUNTS[1].address in result.stdout
    private(tmp_path / "k.json", locked(KEY, b"x"))
    result = run("wallet", "import", file, "--scheme", "ethereum", "--name", "b", stdin="\n")
    assert result.exit_code == 1 and "does not open" in result.stderr
    # Writing: said clearly.
    result = run("wallet", "export", "eve", tmp_path / "out.json", stdin="\n\n")
    assert result.exit_code == 0 and "the passphrase is empty" in result.stderr
    assert keystores.decrypt((tmp_path / "out.json").read_bytes(), "") == KEY
    result = run("wallet", "new", "dora", "--passphrase", stdin="\n\n")
    assert result.exit_code == 1 and "passphrase must not be empty" in result.stderr
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
    refused(run("wallet", "export", "a", tmp_path / "out", stdin=""), 2, "first line of standard input")
    result = run("wallet", "export", "a", tmp_path / "out", stdin="\n")
    assert result.exit_code == 0 and "the passphrase is empty" in result.stderr
