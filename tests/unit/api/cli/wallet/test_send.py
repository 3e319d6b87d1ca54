"""Wallets, signing and sending, with a node that answers as told."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from api.cli.client import PATIENCE, NodeClient
from api.cli.group import Unreachable
from services.wallet import keyring
from services.wallet.development import ACCOUNTS
from shared.rules import rules_for
from tests.support.cli import refused, run
from tests.support.fake_node import SPEC, FakeNode

pytestmark = pytest.mark.usefixtures("own_environment")


def test_wallets_are_made_listed_and_shown_without_their_secret(tmp_path: Path) -> None:
    made = json.loads(run("wallet", "new", "alice", "--json").stdout)
    assert json.loads(run("wallet", "list", "--json").stdout) == [made]
    shown = run("wallet", "show", "alice")
    assert made["address"] in shown.stdout
    seed = keyring.load(tmp_path / "home" / "wallets" / "alice").seed
    assert seed.hex() not in shown.stdout + json.dumps(made)
    refused(run("wallet", "new", "alice"), 1, "never replaced")
    refused(run("wallet", "show", "bob"), 1, "alice")


def test_the_wallets_directory_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARRY_WALLETS", str(tmp_path / "elsewhere"))
    assert run("wallet", "new", "alice").exit_code == 0
    assert (tmp_path / "elsewhere" / "alice" / "private.key").is_file()


def test_an_encrypted_wallet_opens_with_its_passphrase_only(monkeypatch: pytest.MonkeyPatch) -> None:
    refused(run("wallet", "new", "alice", "--passphrase"), 2, "QUARRY_PASSPHRASE")
    monkeypatch.setenv("QUARRY_PASSPHRASE", "horse")
    assert json.loads(run("wallet", "new", "alice", "--passphrase", "--json").stdout)["encrypted"]
    unsigned = json.dumps({"type": "transfer", "nonce": 0, "recipient": ACCOUNTS[0].address, "amount": "1", "fee": "0"})
    assert run("wallet", "sign", "-", "--from", "alice", stdin=unsigned).exit_code == 0
    monkeypatch.setenv("QUARRY_PASSPHRASE", "donkey")
    refused(run("wallet", "sign", "-", "--from", "alice", stdin=unsigned), 1, "does not open")
    monkeypatch.delenv("QUARRY_PASSPHRASE")
    refused(run("wallet", "sign", "-", "--from", "alice", stdin=unsigned), 1, "QUARRY_PASSPHRASE")


def test_sign_makes_what_a_node_accepts() -> None:
    from services.settings.table import load_spec

    run("wallet", "new", "alice")
    unsigned = {"type": "transfer", "nonce": 3, "recipient": ACCOUNTS[0].address.lower(), "amount": 2, "fee": "0.5"}
    result = run("wallet", "sign", "-", "--from", "alice", stdin=json.dumps(unsigned))
    assert result.exit_code == 0, result.output
    transaction = rules_for(load_spec("dev")).read_request(json.loads(result.stdout))
    assert (transaction.nonce, transaction.recipient) == (3, ACCOUNTS[0].address)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("nonsense", "JSON"),
        ('{"type": "transfer", "type": "transfer"}', "twice"),
        ('{"type": "transfer"}', "lacks the field amount"),
        (json.dumps({"sender": ACCOUNTS[0].address}), "not this wallet"),
        ('{"chain_id": 1}', "another chain"),
        ('{"signature": "00"}', "already has a signature"),
    ],
)
def test_sign_refuses_what_it_should_not_sign(text: str, word: str) -> None:
    run("wallet", "new", "alice")
    refused(run("wallet", "sign", "-", "--from", "alice", stdin=text), 1, word)


def test_an_ethereum_key_is_imported_from_a_private_file_or_standard_input(tmp_path: Path) -> None:
    file = tmp_path / "anvil.hex"
    file.write_text(ACCOUNTS[1].private_key + "\n")
    file.chmod(0o644)
    refused(run("wallet", "import", "--scheme", "ethereum", file), 2, "anvil.hex")
    file.chmod(0o600)
    imported = run("wallet", "import", "--scheme", "ethereum", file, "--json")
    assert json.loads(imported.stdout)["address"] == ACCOUNTS[1].address
    arguments = ("wallet", "import", "--scheme", "ethereum", "-", "--name", "two")
    assert ACCOUNTS[2].address in run(*arguments, stdin=ACCOUNTS[2].private_key).stdout
    refused(run("wallet", "import", "--scheme", "ethereum", "-", "--name", "x", stdin="12"), 1, "64 hexadecimal")
    refused(run("wallet", "import", "--scheme", "ethereum", "-", stdin="12"), 2, "--name")


def test_a_pem_key_is_imported_under_its_file_name(tmp_path: Path) -> None:
    key = keyring.create(tmp_path / "source")
    (tmp_path / "source" / "private.key").rename(tmp_path / "carol.pem")
    result = run("wallet", "import", tmp_path / "carol.pem", "--json")
    assert (json.loads(result.stdout)["name"], json.loads(result.stdout)["address"]) == ("carol", key.address)
    (tmp_path / "carol.pem").chmod(0o644)
    refused(run("wallet", "import", tmp_path / "carol.pem", "--name", "again"), 2, "carol.pem")


def serve_account(node: FakeNode, address: str) -> None:
    node.answers["/spec"] = 200, SPEC.to_object()
    node.answers["/status"] = 200, {"min_fee": "0.0001"}
    node.answers[f"/accounts/{address}"] = 200, {"address": address, "balance": "9", "nonce": 4, "pending_nonce": 6}


def test_send_signs_with_the_next_nonce_and_the_least_fee(node: FakeNode) -> None:
    address = json.loads(run("wallet", "new", "alice", "--json").stdout)["address"]
    serve_account(node, address)
    node.answers["/transactions/new"] = 201, {"id": "ab" * 32, "message": "Transaction will be added to Block 2."}
    result = run("send", "--url", node.url, "--from", "alice", "--to", ACCOUNTS[0].address.lower(), "0.25")
    assert result.exit_code == 0, result.output
    body = json.loads(next(body for method, path, body, _ in node.asked if path == "/transactions/new"))
    transaction = rules_for(SPEC).read_request(body)
    assert (transaction.nonce, transaction.amount, transaction.fee) == (6, 25 * 10**16, 10**14)
    assert transaction.recipient == ACCOUNTS[0].address


def test_send_refuses_a_mistyped_address(node: FakeNode) -> None:
    run("wallet", "new", "alice")
    wrong = ACCOUNTS[0].address.replace("f39F", "f39f")
    refused(run("send", "--url", node.url, "--from", "alice", "--to", wrong, "1"), 1, "checksum")
    assert node.asked == []


@pytest.mark.parametrize("digits", ["0", "5eed"])
def test_send_refuses_an_address_without_a_key(node: FakeNode, monkeypatch: pytest.MonkeyPatch, digits: str) -> None:
    monkeypatch.setenv("QUARRY_PASSPHRASE", "horse")
    run("wallet", "new", "alice", "--passphrase")
    monkeypatch.setenv("QUARRY_PASSPHRASE", "")  # said before it would be asked for
    node.answers["/spec"] = 200, SPEC.to_object()
    lost = "0x" + digits.rjust(40, "0")
    refused(run("send", "--url", node.url, "--from", "alice", "--to", lost, "1"), 1, "nobody has its key")
    assert [path for _, path, _, _ in node.asked] == ["/spec"]


@pytest.mark.parametrize("kind", ["transfer", "approve"])
@pytest.mark.parametrize("digits", ["0", "5eed"])
def test_sign_refuses_an_address_without_a_key(kind: str, digits: str) -> None:
    run("wallet", "new", "alice")
    unsigned = {"type": kind, "nonce": 0, "recipient": "0x" + digits.rjust(40, "0"), "amount": "1", "fee": "0"}
    refused(run("wallet", "sign", "-", "--from", "alice", stdin=json.dumps(unsigned)), 1, "nobody has its key")


def pay(node: FakeNode) -> tuple[Result, list[bytes]]:
    """A payment from a new wallet: what the command says, and the bodies that were sent."""
    address = json.loads(run("wallet", "new", "alice", "--json").stdout)["address"]
    serve_account(node, address)
    result = run("send", "--url", node.url, "--from", "alice", "--to", ACCOUNTS[0].address, "1")
    return result, [body for _, path, body, _ in node.asked if path == "/transactions/new"]


AWAY = {"code": "store_unavailable", "detail": "The store does not answer."}


def test_a_busy_store_gets_the_same_transaction_again(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 4:
            node.answers["/transactions/new"] = 201, {"message": "m"}

    monkeypatch.setattr("api.cli.client.time.sleep", sleep)
    node.answers["/transactions/new"] = 503, AWAY
    result, sent = pay(node)
    assert result.exit_code == 0 and len(sent) == 5
    assert len(set(sent)) == 1


def test_a_store_that_stays_away_is_told_with_the_transaction(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("api.cli.client.time.monotonic", lambda: now[0])
    monkeypatch.setattr("api.cli.client.time.sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    node.answers["/transactions/new"] = 503, AWAY
    result, sent = pay(node)
    assert len(set(sent)) == 1
    assert result.exit_code == 3 and result.stdout == ""
    waits, refusal = result.stderr.splitlines()
    assert waits.startswith("The node's store does not answer.") and "may have the transaction" in refusal
    assert rules_for(SPEC).read_request(json.loads(sent[0])).id in refusal
    assert now == [PATIENCE]


def test_a_lost_answer_is_asked_for_again_with_the_same_transaction(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.cli.wallet.transfers._PAUSE", 0.0)
    sent: list[Any] = []

    def lost(client: NodeClient, path: str, body: Any) -> Any:
        sent.append(body)
        raise Unreachable("The node did not answer in time.")

    monkeypatch.setattr(NodeClient, "post", lost)
    result, _ = pay(node)
    assert len(sent) == 3 and sent[0] == sent[1] == sent[2]
    refused(result, 3, rules_for(SPEC).read_request(sent[0]).id)


def test_a_wait_that_ends_says_why(node: FakeNode) -> None:
    client = NodeClient(node.url)
    node.answers["/transactions/ab"] = 200, {"id": "ab", "status": "replaced", "reason": "a higher fee"}
    with pytest.raises(Exception, match="a higher fee"):
        client.transaction_until_mined("ab", 0.0)
    node.answers["/transactions/ab"] = 200, {"id": "ab", "status": "pending"}
    with pytest.raises(Exception, match="still waits"):
        client.transaction_until_mined("ab", 0.0)


GAP = {"missing_nonces": [[6, 49]], "waits_for": "nonces 6-49 of this account"}


def test_a_wait_says_at_once_which_nonces_are_missing(node: FakeNode) -> None:
    address = json.loads(run("wallet", "new", "alice", "--json").stdout)["address"]
    serve_account(node, address)
    node.answers["/transactions/new"] = 201, {"id": "x", "message": "m"}
    told: list[str] = []
    client = NodeClient(node.url)
    answers = iter([GAP, GAP, {"waits_for": "nonce 6 of this account"}, {"block": "cd" * 32}])
    node.answers["/transactions/ab"] = 200, lambda path: {"id": "ab", "status": "pending"} | next(answers)
    client.transaction_until_mined("ab", 30.0, told.append)
    assert told == [f"The transaction waits for {what} of this account." for what in ("nonces 6-49", "nonce 6")]

    def pending(path: str) -> dict[str, Any]:
        return {"id": path.rpartition("/")[2], "status": "pending"} | GAP

    arguments = ("send", "--url", node.url, "--from", "alice", "--to", ACCOUNTS[0].address, "1", "--nonce", "50")
    sent = run(*arguments, "--json")
    identifier = json.loads(sent.stdout)["id"]
    node.answers[f"/transactions/{identifier}"] = 200, pending
    for options in ((), ("--json",)):
        result = run(*arguments, "--wait", "--timeout", "0", *options)
        assert result.exit_code == 1
        assert result.stderr.splitlines() == [
            "The transaction waits for nonces 6-49 of this account.",
            f"quarry: The transaction {identifier} still waits for nonces 6-49 of this account after 0 s; send these "
            "first.",
        ]
    lines = run("tx", identifier, "--url", node.url).stdout.splitlines()
    assert lines[-1] == "waits_for     nonces 6-49 of this account" and "[[" not in "".join(lines)


def test_addresses_of_own_keys_have_their_names(node: FakeNode) -> None:
    address = json.loads(run("wallet", "new", "alice", "--json").stdout)["address"]
    found = {"id": "ab" * 32, "sender": address, "recipient": ACCOUNTS[3].address, "admitted_at": 1.5, "at": 1e300}
    node.answers["/transactions/" + "ab" * 32] = 200, found
    lines = run("tx", "ab" * 32, "--url", node.url).stdout.splitlines()
    assert lines[1:3] == [f"sender        {address} (alice)", f"recipient     {ACCOUNTS[3].address}"]
    assert lines[3].startswith("admitted_at   1.5 (19") and lines[4] == "at            1e+300 (1e+300)"
