"""What a newcomer types wrong: one sentence each, which says what to type instead."""

import json
from typing import Any

import pytest

from services.wallet.development import ACCOUNTS
from tests.support.cli import refused, run
from tests.support.fake_node import SPEC, FakeNode

pytestmark = pytest.mark.usefixtures("own_environment")
ADDRESS = ACCOUNTS[1].address
SEND = "It is typed: quarry send --from WALLET --to ADDRESS|WALLET AMOUNT"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        # What is missing, or too much.
        ("send 5", SEND),
        ("send alice bob 5", SEND),
        ("send --from alice --to bob", SEND),
        ("send --from alice 5 --to", "'--to' requires an argument. See quarry send --help."),
        ("tx", "It is typed: quarry tx ID; see quarry tx --help."),
        ("wallet new", "It is typed: quarry wallet new NAME"),
        ("worker", "It is typed: quarry worker --queue [mining|network]"),
        ("status localhost:5000", "unexpected extra argument (localhost:5000). It is typed: quarry status;"),
        ("faucet alice 5", "It is typed: quarry faucet ADDRESS|WALLET"),
        ("up now", "It is typed: quarry up; see quarry up --help."),
        # Options before the command, and unknown ones.
        ("--url http://127.0.0.1:1 status", "Options follow the command: quarry COMMAND --option."),
        ("send --form alice --to bob 1", "'--from'"),
        ("up --ports 5", "Did you mean '--port', '--rpc-port'"),
        # Numbers and amounts.
        ("send --from alice --to bob -5", "No number here is negative: -5 was taken for an option."),
        ("mine -3", "No number here is negative"),
        ("chain show -1", "No number here is negative"),
        ("mine 0", "0 is not between 1 and 10000."),
        ("mine ten", "'ten' is not a whole number."),
        ("mine --wait long", "'long' is not a number."),
        ("send --from alice --to bob 1 --nonce -1", "-1 is below 0."),
        ("up --port 99999", "99999 is not between 0 and 65535."),
        ("send --from alice --to bob 1,5", "write a point before the decimals"),
        ("send --from alice --to bob 1,000.5", "nothing between thousands"),
        ("send --from alice --to bob five", "a number of coins such as 5 or 0.25, with at most 18 decimals."),
        ("send --from alice --to bob 5QRY", "leave the name of the coin out"),
        ("send --from alice --to bob 1e3", "without an exponent"),
        ("send --from alice --to bob 0.0000000000000000001", "at most 18 decimals."),
        ("send --from alice --to bob 1 --fee -0.1", "--fee must be a number of coins"),
        ("up --balance 1,000", "--balance must be a number of coins"),
        ("up --balance -1", "it cannot be negative"),
        # Names that other programs have.
        ("start", "`quarry up` starts a node."),
        ("stop", "Ctrl-C at its `quarry up` stops a node."),
        ("blocks", "`quarry chain show` shows the last blocks."),
        ("version", "`quarry --version` shows it."),
        ("accounts", "`quarry wallet accounts`"),
        ("pay", "`quarry send --from WALLET --to ADDRESS 1.5` pays."),
        ("wallet create bob", "`quarry wallet new NAME` makes a wallet."),
        ("wallet balance bob", "`quarry balance NAME` shows a balance."),
        ("wallet delete bob", "No command removes a key"),
        ("wallets", "Did you mean wallet?"),
        ("chain frobnicate", "The commands are export, import, show, tips, verify."),
        # Names and addresses.
        ("wallet new 0xabc", "must not begin with 0x"),
        ("wallet new my.wallet", "letters, digits, - and _"),
        ("tx hello", "64 hexadecimal digits"),
    ],
)
def test_wrong_usage(typed: str, said: str) -> None:
    result = run(*typed.split())
    refused(result, 2, said)
    assert len(result.stderr) < 300


@pytest.fixture
def node() -> Any:
    fake = FakeNode()
    fake.answers["/spec"] = 200, SPEC.to_object()
    fake.answers["/status"] = 200, {"min_fee": "0.0001"}
    yield fake
    fake.close()


def pay(node: FakeNode, *arguments: str, balance: str = "9") -> Any:
    sender = json.loads(run("wallet", "new", "alice", "--json").stdout)["address"]
    for address in (sender, ADDRESS):
        found = {"address": address, "balance": balance, "nonce": 0, "pending_nonce": 0}
        node.answers[f"/accounts/{address}"] = 200, found
    node.answers.setdefault("/transactions/new", (201, {"id": "ab" * 32, "message": "Will be added."}))
    return run("send", "--url", node.url, *arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--from", "alice", "--to", "vitalik.eth", "1"), "Names of ENS are of another chain: give the address."),
        (("--from", "alice", "--to", "0x123", "1"), "0x and 40 hexadecimal digits"),
        (("--from", "alice", "--to", ADDRESS[2:], "1"), "An address begins with 0x."),
        (("--from", ADDRESS, "--to", "alice", "1"), "A wallet is needed here, not an address: its key signs."),
        (("--from", "alcie", "--to", ADDRESS, "1"), "Did you mean alice?"),
    ],
)
def test_wrong_parties(node: FakeNode, arguments: tuple[str, ...], said: str) -> None:
    refused(pay(node, *arguments), 1, said)
    assert not [path for _, path, *_ in node.asked if path == "/transactions/new"]


def test_too_little_money_is_said_in_figures(node: FakeNode) -> None:
    problem = {"code": "insufficient_funds", "detail": "The balance does not cover it.", "title": "x"}
    node.answers["/transactions/new"] = 400, problem
    result = pay(node, "--from", "alice", "--to", ADDRESS, "1000", balance="0.5")
    refused(result, 1, "has 0.5 QRY, and this payment takes 1000.0001 with its fee", "(insufficient_funds)")


def test_a_payment_to_oneself_is_done_and_said(node: FakeNode) -> None:
    result = pay(node, "--from", "alice", "--to", "alice", "1")
    assert result.exit_code == 0 and result.stderr == "The sender pays itself: the fee is all that it loses.\n"
    assert result.stdout.startswith("Will be added.\n")


def test_an_address_is_no_transaction_and_no_block(node: FakeNode) -> None:
    for command in (("tx", ADDRESS), ("chain", "show", ADDRESS)):
        refused(run(*command, "--url", node.url), 1, "it looks like an address", f"`quarry balance {ADDRESS.lower()}`")


def test_an_address_without_a_port_is_noticed() -> None:
    refused(run("status", "--url", "http://127.0.0.1:1"), 3, "No node answers at http://127.0.0.1:1; start one")
