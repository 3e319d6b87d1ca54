"""Wallet files in any encoding, and wallets that are made completely or not at all."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from services.system.programs import ROOT
from services.wallet import keyring
from services.wallet.development import ACCOUNTS
from services.wallet.keyring import KeyringError
from services.wallet.signers import Ed25519Signer, EthereumSigner
from shared import keys
from tests.support.cli import refused, run
from tests.support.key_files import KEY, PHRASE, PLAIN, SEED, locked, private

pytestmark = pytest.mark.usefixtures("own_environment")


# --- Encodings -------------------------------------------------------------------------------------------------------

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
def test_what_is_no_file_is_named_at_once(tmp_path: Path, scheme: tuple[str, ...]) -> None:
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
