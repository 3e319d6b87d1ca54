"""Keys on disk: OpenSSL reads what is written, what it writes is read, and files that others can read are refused."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from services.settings.table import load_spec
from services.wallet import keyring
from services.wallet.development import ACCOUNTS
from services.wallet.keyring import KeyringError, PassphraseNeeded, UnsafePermissions
from services.wallet.signers import CannotSign, Ed25519Signer, EthereumSigner
from shared.rules import rules_for

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="OpenSSL's command is not installed")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def openssl(*arguments: str | Path) -> bytes:
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True).stdout


def test_a_new_key_has_private_files_and_its_address_is_in_the_public_one(tmp_path: Path) -> None:
    made = keyring.create(tmp_path / "alice")
    assert mode(tmp_path / "alice") == 0o700
    assert mode(tmp_path / "alice" / "private.key") == 0o600
    assert keyring.load(tmp_path / "alice").seed == made.seed
    assert keyring.load(tmp_path / "alice" / "private.key").seed == made.seed
    assert keyring.address_of(tmp_path / "alice") == made.address


def test_the_address_needs_no_private_key(tmp_path: Path) -> None:
    made = keyring.create(tmp_path)
    (tmp_path / "private.key").unlink()
    assert keyring.address_of(tmp_path) == made.address


def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        keyring.create(tmp_path / "a")
    finally:
        os.umask(old)
    assert mode(tmp_path / "a") == 0o700
    assert mode(tmp_path / "a" / "private.key") == 0o600


def test_a_key_is_never_replaced(tmp_path: Path) -> None:
    made = keyring.create(tmp_path)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(KeyringError, match="never replaced"):
        keyring.create(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files
    assert keyring.load(tmp_path).seed == made.seed


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o602, 0o610])
def test_a_key_that_others_can_reach_is_refused_by_name(tmp_path: Path, bits: int) -> None:
    keyring.create(tmp_path)
    (tmp_path / "private.key").chmod(bits)
    with pytest.raises(UnsafePermissions, match=r"private\.key can be read by others"):
        keyring.load(tmp_path)


def test_a_passphrase_encrypts_and_only_it_opens(tmp_path: Path) -> None:
    made = keyring.create(tmp_path, "correct horse")
    assert keyring.is_encrypted(tmp_path)
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in (tmp_path / "private.key").read_bytes()
    assert keyring.load(tmp_path, "correct horse").seed == made.seed
    assert keyring.address_of(tmp_path) == made.address
    for wrong in (None, "", "Correct horse"):
        with pytest.raises(PassphraseNeeded):
            keyring.load(tmp_path, wrong)


def test_errors_name_the_file_and_nothing_in_it(tmp_path: Path) -> None:
    secret = "0f" * 32
    (tmp_path / "private.key").write_text(f"-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----\n")
    (tmp_path / "private.key").chmod(0o600)
    with pytest.raises(KeyringError) as caught:
        keyring.load(tmp_path)
    assert "private.key" in str(caught.value)
    assert secret not in str(caught.value)
    with pytest.raises(KeyringError, match="no private key at"):
        keyring.load(tmp_path / "missing")
    with pytest.raises(KeyringError, match="no public key at"):
        keyring.address_of(tmp_path)
    with pytest.raises(KeyringError, match="not a file"):
        keyring.load(Path("/dev/null"))


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "private.key"
    with path.open("wb") as file:
        file.truncate(2**32)
    path.chmod(0o600)
    with pytest.raises(KeyringError, match="too large"):
        keyring.load(path)


@needs_openssl
def test_keys_that_openssl_makes_are_wallets(tmp_path: Path) -> None:
    plain = tmp_path / "plain.pem"
    openssl("genpkey", "-algorithm", "ed25519", "-out", plain)
    plain.chmod(0o600)
    key = keyring.load(plain)
    locked = tmp_path / "locked.pem"
    openssl("pkcs8", "-topk8", "-v2", "aes-256-cbc", "-in", plain, "-out", locked, "-passout", "pass:horse")
    locked.chmod(0o600)
    assert keyring.load(locked, "horse").seed == key.seed
    (tmp_path / "public.key").write_bytes(openssl("pkey", "-in", plain, "-pubout"))
    assert keyring.address_of(tmp_path) == key.address


@needs_openssl
@pytest.mark.parametrize("passphrase", [None, "horse"])
def test_openssl_verifies_our_signatures_with_our_files(tmp_path: Path, passphrase: str | None) -> None:
    key = keyring.create(tmp_path, passphrase)
    message, signature = tmp_path / "message", tmp_path / "signature"
    message.write_bytes(b"quarry-transaction:{}")
    signature.write_bytes(key.sign(message.read_bytes()))
    verify = ("pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", tmp_path / "public.key")
    assert b"Success" in openssl(*verify, "-in", message, "-sigfile", signature)
    unlock = () if passphrase is None else ("-passin", f"pass:{passphrase}")
    assert (
        openssl("pkey", "-in", tmp_path / "private.key", *unlock, "-pubout") == (tmp_path / "public.key").read_bytes()
    )
    subject = openssl("x509", "-in", tmp_path / "certificate.pem", "-noout", "-subject").decode()
    assert key.address in subject
    openssl("verify", "-CAfile", tmp_path / "certificate.pem", tmp_path / "certificate.pem")


@needs_openssl
def test_other_algorithms_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pem"
    openssl("genpkey", "-algorithm", "x25519", "-out", path)
    path.chmod(0o600)
    with pytest.raises(KeyringError, match="neither an Ed25519 nor a secp256k1"):
        keyring.load(path)


@pytest.mark.parametrize("passphrase", [None, "horse"])
def test_an_ethereum_key_keeps_its_address(tmp_path: Path, passphrase: str | None) -> None:
    account = ACCOUNTS[3]
    secret = bytes.fromhex(account.private_key[2:])
    keyring.store_ethereum(tmp_path, secret, passphrase)
    assert mode(tmp_path / "private.key") == 0o600
    signer = keyring.load_signer(tmp_path, passphrase)
    assert isinstance(signer, EthereumSigner)
    assert (signer.private_key, signer.address) == (secret, account.address)
    assert keyring.public_key(tmp_path)[0] == "ethereum"
    assert keyring.address_of(tmp_path) == account.address
    with pytest.raises(KeyringError, match="no Ed25519 key"):
        keyring.load(tmp_path, passphrase)
    assert account.private_key[2:] not in repr(signer)


def test_the_development_accounts_are_those_of_the_development_chain() -> None:
    allocated = load_spec("dev").allocations
    assert [account.address for account in ACCOUNTS] == list(allocated)
    for account in ACCOUNTS:
        from shared.ethereum import address_of_private_key

        assert address_of_private_key(bytes.fromhex(account.private_key[2:])) == account.address


def test_both_schemes_sign_what_the_rules_accept(tmp_path: Path) -> None:
    spec = load_spec("dev")
    secret = bytes.fromhex(ACCOUNTS[0].private_key[2:])
    signers = (Ed25519Signer(keyring.create(tmp_path)), EthereumSigner(secret, ACCOUNTS[0].address))
    for signer in signers:
        fee = signer.payable_fee(10**14)
        assert 10**14 <= fee < 10**14 + 21_000
        unsigned = {
            "type": "transfer",
            "chain_id": spec.chain_id,
            "nonce": 7,
            "sender": signer.address,
            "recipient": ACCOUNTS[1].address,
            "amount": "1.5",
            "fee": f"0.{fee:018}".rstrip("0"),
        }
        transaction = rules_for(spec).read_request(signer.sign(unsigned, spec))
        assert (transaction.sender, transaction.nonce, transaction.fee) == (signer.address, 7, fee)
        assert transaction.fields["scheme"] == signer.scheme


def test_an_ethereum_key_refuses_what_it_cannot_express(tmp_path: Path) -> None:
    spec = load_spec("dev")
    signer = EthereumSigner(bytes.fromhex(ACCOUNTS[0].private_key[2:]), ACCOUNTS[0].address)
    unsigned = {
        "type": "transfer",
        "chain_id": spec.chain_id,
        "nonce": 0,
        "sender": signer.address,
        "recipient": ACCOUNTS[1].address,
        "amount": "1",
        "fee": "0",
    }
    signer.sign(unsigned, spec)
    for change in ({"data": "memo"}, {"type": "approve"}, {"fee": "0.000000000000000001"}):
        with pytest.raises(CannotSign):
            signer.sign({**unsigned, **change}, spec)
