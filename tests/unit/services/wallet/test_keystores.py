"""Keystores and recovery phrases: what other wallets write is read, what we write they read, bad ones are refused."""

import json
from pathlib import Path
from typing import Any, Literal

import pytest
from eth_account import Account

from services.wallet import keyring, keystores, phrases
from services.wallet.development import ACCOUNTS
from services.wallet.keystores import BadKeystore, WrongPassphrase
from services.wallet.phrases import BadPhrase
from tests.support.cli import refused, run
from tests.support.key_files import KEY, LIGHT, private

DEVELOPMENT = "test test test test test test test test test test test junk"


pytestmark = pytest.mark.usefixtures("own_environment")


# --- Keystores -------------------------------------------------------------------------------------------------------

# The two test vectors of the Web3 Secret Storage Definition.
PBKDF2 = {
    "crypto": {
        "cipher": "aes-128-ctr", "cipherparams": {"iv": "6087dab2f9fdbbfaddc31a909735c1e6"},
        "ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46", "kdf": "pbkdf2",
        "kdfparams": {"c": 262144, "dklen": 32, "prf": "hmac-sha256",
                      "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"},
        "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2",
    },
    "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6", "version": 3,
}  # fmt: skip
SCRYPT = {
    "crypto": {
        "cipher": "aes-128-ctr", "cipherparams": {"iv": "83dbcc02d8ccb40e466191a123791e0e"},
        "ciphertext": "d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c", "kdf": "scrypt",
        "kdfparams": {"dklen": 32, "n": 262144, "p": 8, "r": 1,
                      "salt": "ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19"},
        "mac": "2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097",
    },
    "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6", "version": 3,
}  # fmt: skip
VECTOR_KEY = bytes.fromhex("7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d")


@pytest.mark.parametrize("vector", [PBKDF2, pytest.param(SCRYPT, marks=pytest.mark.slow)])  # eight seconds
def test_the_vectors_of_the_definition(vector: dict[str, Any]) -> None:
    assert keystores.decrypt(json.dumps(vector).encode(), "testpassword") == VECTOR_KEY
    with pytest.raises(WrongPassphrase):
        keystores.decrypt(json.dumps(vector).encode(), "testpasswort")


def test_both_ways_to_scrypt_are_one() -> None:
    assert keystores._slow_scrypt("Grüße".encode(), b"salt", 1024, 8, 2) == keystores._scrypt(
        "Grüße".encode(), b"salt", 1024, 8, 2
    )
    assert keystores._scrypt(b"x", b"salt", 2**16, 1, 1) == keystores._slow_scrypt(b"x", b"salt", 2**16, 1, 1)


@pytest.mark.parametrize("passphrase", ["x", "correct horse", "Grüße 🐎"])
def test_ours_are_read_by_eth_account_and_the_other_way_round(passphrase: str) -> None:
    ours = keystores.encrypt(KEY, passphrase, n=LIGHT)
    assert bytes(Account.decrypt(ours, passphrase)) == KEY
    assert ours["address"] == ACCOUNTS[1].address[2:].lower()
    kdfs: tuple[tuple[Literal["scrypt", "pbkdf2"], int], ...] = (("scrypt", LIGHT), ("pbkdf2", 1000))
    for kdf, iterations in kdfs:
        theirs = Account.encrypt(KEY, passphrase, kdf=kdf, iterations=iterations)
        assert keystores.decrypt(json.dumps(theirs).encode(), passphrase) == KEY


def test_two_keystores_of_one_key_have_nothing_in_common() -> None:
    one, other = (keystores.encrypt(KEY, "x", n=LIGHT) for _ in range(2))
    assert one["id"] != other["id"]
    for name in ("ciphertext", "mac", "cipherparams", "kdfparams"):
        assert one["crypto"][name] != other["crypto"][name]


def changed(*path: str, to: Any) -> bytes:
    """A light keystore with one value changed."""
    keystore = keystores.encrypt(KEY, "x", n=LIGHT)
    *parents, name = path
    inner = keystore
    for parent in parents:
        inner = inner[parent]
    inner[name] = to
    return json.dumps(keystore).encode()


BAD = [
    b"{", b"[]", b"{}", b'{"version": 3}', b'{"version": 3, "crypto": 5}', b'"x"', b"{" * 40,
    changed("version", to=1), changed("crypto", "cipher", to="aes-128-cbc"), changed("crypto", "kdf", to="md5"),
    changed("crypto", "ciphertext", to="00" * 33), changed("crypto", "ciphertext", to=""),
    changed("crypto", "ciphertext", to="zz"), changed("address", to="zz"), changed("address", to=5),
    changed("crypto", "mac", to=None),
    changed("crypto", "cipherparams", "iv", to="00"), changed("crypto", "kdfparams", "dklen", to=16),
    changed("crypto", "kdfparams", "n", to=2**30), changed("crypto", "kdfparams", "n", to="8"),
    changed("crypto", "kdfparams", "n", to=3), changed("crypto", "kdfparams", "r", to=-1),
    changed("crypto", "kdfparams", "p", to=2**20), changed("crypto", "kdfparams", "salt", to=5),
    json.dumps({**PBKDF2, "crypto": {**PBKDF2["crypto"], "kdfparams": {"c": 10**9, "dklen": 32, "prf": "hmac-sha256",  # type: ignore[dict-item] # JSON
                "salt": "00"}}}).encode(),
]  # fmt: skip


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_bad_keystores_are_refused_soon(text: bytes) -> None:
    with pytest.raises(BadKeystore):
        keystores.decrypt(text, "x")


def test_a_keystore_that_was_tampered_with_is_not_opened() -> None:
    with pytest.raises(WrongPassphrase):
        keystores.decrypt(changed("crypto", "ciphertext", to="11" * 32), "x")


# --- Phrases ---------------------------------------------------------------------------------------------------------


def test_phrases_give_the_accounts_that_other_wallets_derive() -> None:
    for index, account in enumerate(ACCOUNTS):
        assert phrases.private_key(DEVELOPMENT, index).hex() == account.private_key[2:]
    assert phrases.private_key(f"  {DEVELOPMENT.upper()}\n ", 3).hex() == ACCOUNTS[3].private_key[2:]


def test_the_vectors_of_bip_32() -> None:
    # Test vector 1, chains m/0' and m/0'/1/2'/2/1000000000, and vector 3 (a leading zero is kept), m/0'.
    hard = 2**31
    seed = bytes(range(16))
    assert phrases.derive(seed, (hard,)).hex() == "edb2e14f9ee77d26dd93b4ecede8d16ed408ce149b6cd80b0715a2d911a0afea"
    deep = phrases.derive(seed, (hard, 1, hard + 2, 2, 1000000000))
    assert deep.hex() == "471b76e389e528d6de6d816857e012c5455051cad6660850e58372a6c3e6e7c8"
    seed = bytes.fromhex(
        "4b381541583be4423346c643850da4b320e46a87ae3d2a4e6da11eba819cd4acba45d239319ac14f863b8d5ab5a0d0c64d2e8a1e7d1457df2e5a3c51"
        "c73235be"
    )
    assert phrases.derive(seed, (hard,)).hex() == "491f7a2eebc7b57028e0d3faa0acda02e75c33b03c48fb288c41e2ea44e1daef"


@pytest.mark.parametrize("words", phrases.WORDS)
def test_new_phrases_are_phrases_and_eth_account_derives_the_same(words: int) -> None:
    Account.enable_unaudited_hdwallet_features()
    phrase = phrases.new_phrase(words)
    assert len(phrase.split()) == words and phrase != phrases.new_phrase(words)
    theirs = Account.from_mnemonic(phrase, account_path="m/44'/60'/0'/0/7")
    assert phrases.private_key(phrase, 7) == bytes(theirs.key)


@pytest.mark.parametrize(
    "phrase",
    [
        "",
        "test",
        "test " * 11,
        "test " * 12,
        "test " * 13,
        DEVELOPMENT.replace("junk", "quarry"),
        "junk " + DEVELOPMENT[:-5],
    ],
)
def test_other_words_are_no_phrase(phrase: str) -> None:
    with pytest.raises(BadPhrase) as caught:
        phrases.private_key(phrase)
    assert "junk" not in str(caught.value)


# --- The command line ------------------------------------------------------------------------------------------------


def test_a_new_ethereum_wallet_is_listed_shown_and_signs_like_any_other() -> None:
    made = json.loads(run("wallet", "new", "eve", "--scheme", "ethereum", "--json").stdout)
    ours = json.loads(run("wallet", "new", "alice", "--json").stdout)
    assert (made["scheme"], ours["scheme"]) == ("ethereum", "ed25519")
    assert json.loads(run("wallet", "list", "--json").stdout) == [ours, made]
    assert made["address"] in run("wallet", "show", "eve").stdout
    for name, address in (("alice", ours["address"]), ("eve", made["address"])):
        unsigned = {
            "type": "transfer",
            "nonce": 0,
            "recipient": ACCOUNTS[0].address,
            "amount": "1",
            "fee": "0.000000000000021",
        }
        signed = json.loads(run("wallet", "sign", "-", "--from", name, stdin=json.dumps(unsigned)).stdout)
        assert (signed["sender"], signed["amount"]) == (address, "1")


def test_a_phrase_is_shown_once_and_gives_the_wallet_back(tmp_path: Path) -> None:
    made = json.loads(run("wallet", "new", "eve", "--scheme", "ethereum", "--words", "12", "--json").stdout)
    assert "phrase" not in json.loads(run("wallet", "show", "eve", "--json").stdout)
    written = b"".join(path.read_bytes() for path in (tmp_path / "home").rglob("*") if path.is_file())
    assert made["phrase"].split()[0].encode() not in written
    arguments = ("wallet", "import", "-", "--scheme", "ethereum", "--name", "again", "--json")
    assert json.loads(run(*arguments, stdin=made["phrase"] + "\n").stdout)["address"] == made["address"]
    text = run("wallet", "new", "dora", "--scheme", "ethereum", "--words", "24").stdout
    assert "Write the phrase down" in text
    refused(run("wallet", "new", "x", "--words", "12"), 2, "--scheme ethereum")


def test_an_account_of_a_phrase_is_imported_by_its_index(tmp_path: Path) -> None:
    file = private(tmp_path / "phrase.txt", DEVELOPMENT)
    for index in (0, 4):
        name = ("--name", f"dev{index}")
        result = run("wallet", "import", file, "--scheme", "ethereum", "--index", str(index), *name, "--json")
        assert json.loads(result.stdout)["address"] == ACCOUNTS[index].address
    refused(run("wallet", "import", file, "--scheme", "ethereum", "--index", str(2**31), "--name", "x"), 2, "--index")
    file.chmod(0o644)
    refused(run("wallet", "import", file, "--scheme", "ethereum", "--name", "x"), 2, "phrase.txt")
    refused(run("wallet", "import", "-", "--scheme", "ethereum", "--name", "x", stdin="a b c"), 1, "12, 15")
    assert not (tmp_path / "home" / "wallets" / "x").exists()


def test_a_keystore_goes_out_and_comes_back(tmp_path: Path, light: None) -> None:
    private(tmp_path / "k", ACCOUNTS[1].private_key)
    run("wallet", "import", tmp_path / "k", "--scheme", "ethereum", "--name", "ben")
    file = tmp_path / "ben.json"
    refused(run("wallet", "export", "ben", file, stdin=""), 2, "passphrase")
    assert not file.exists()
    assert run("wallet", "export", "ben", file, stdin="horse\n").exit_code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert bytes(Account.decrypt(json.loads(file.read_text()), "horse")) == KEY
    refused(run("wallet", "export", "ben", file, stdin="horse\n"), 1, "already")
    result = run("wallet", "import", file, "--scheme", "ethereum", "--name", "back", "--json", stdin="horse\n")
    assert json.loads(result.stdout)["address"] == ACCOUNTS[1].address
    refused(run("wallet", "import", file, "--scheme", "ethereum", "--name", "x", stdin="cow\n"), 1, "does not open")
    whole = file.read_text()
    refused(run("wallet", "import", "-", "--scheme", "ethereum", "--name", "x", stdin=whole), 2, "standard input")


def test_a_bare_key_goes_out_only_when_asked_for(tmp_path: Path) -> None:
    private(tmp_path / "k", ACCOUNTS[1].private_key)
    run("wallet", "import", tmp_path / "k", "--scheme", "ethereum", "--name", "ben")
    run("wallet", "new", "alice")
    assert run("wallet", "export", "ben", "-", "--format", "key").stdout == ACCOUNTS[1].private_key + "\n"
    assert run("wallet", "export", "ben", tmp_path / "out", "--format", "key").stdout == ""
    assert (tmp_path / "out").read_text().strip() == ACCOUNTS[1].private_key
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o600
    refused(run("wallet", "export", "alice", "-", "--format", "key"), 1, "private.key")
    refused(run("wallet", "export", "nobody", "-"), 1, "no wallet")


def test_an_encrypted_ethereum_wallet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("QUARRY_PASSPHRASE", "correct horse")
    assert json.loads(run("wallet", "new", "eve", "--scheme", "ethereum", "--passphrase", "--json").stdout)["encrypted"]
    directory = tmp_path / "home" / "wallets" / "eve"
    assert b"ENCRYPTED" in (directory / "private.key").read_bytes()
    assert run("wallet", "export", "eve", "-", "--format", "key").exit_code == 0
    monkeypatch.setenv("QUARRY_PASSPHRASE", "cow")
    refused(run("wallet", "export", "eve", "-", "--format", "key"), 1, "does not open")
    with pytest.raises(keyring.PassphraseNeeded):
        keyring.load_signer(directory)
