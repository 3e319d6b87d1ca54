"""`quarry balance`, and the balances of `quarry wallet list` and `show`."""

import json
from pathlib import Path

import pytest

from api.cli.wallet.names import Names
from services.launch.node_files import NodeFiles
from services.wallet import keyring
from services.wallet.development import ACCOUNTS
from tests.support.cli import refused, run
from tests.support.fake_node import SPEC, FakeNode, make_node

STRANGER = ACCOUNTS[5].address


def new_wallet(name: str) -> str:
    return str(json.loads(run("wallet", "new", name, "--json").stdout)["address"])


def serve(node: FakeNode, balances: dict[str, str], pending: int = 3) -> None:
    node.answers["/spec"] = 200, SPEC.to_object()
    for address, balance in balances.items():
        account = {"address": address, "balance": balance, "nonce": 3, "pending_nonce": pending}
        node.answers[f"/accounts/{address}"] = 200, account


@pytest.fixture
def here(node: FakeNode, tmp_path: Path) -> NodeFiles:
    """The files of the node, as one that runs here with two development accounts."""
    return make_node(tmp_path / "home", node.url, development_accounts=2)


def test_without_an_argument_it_shows_all_own_wallets(node: FakeNode, here: NodeFiles) -> None:
    alice, own = new_wallet("alice"), keyring.address_of(here.directory)
    serve(node, {alice: "0.5", own: "12", ACCOUNTS[0].address: "9999", ACCOUNTS[1].address: "10000"}, pending=5)
    result = run("balance")
    assert result.exit_code == 0, result.output
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["NAME", "ADDRESS", "BALANCE", "NONCE", "WAITING"],
        ["alice", alice, "0.5", "QRY", "3", "2"],
        ["node", own, "12", "QRY", "3", "2"],
        ["account0,", "faucet", ACCOUNTS[0].address, "9999", "QRY", "3", "2"],
        ["account1", ACCOUNTS[1].address, "10000", "QRY", "3", "2"],
    ]
    named = json.loads(run("balance", "--json").stdout)
    assert [(item["name"], item["balance"]) for item in named][:2] == [("alice", "0.5"), ("node", "12")]
    assert [item["name"] for item in named][2:] == ["account0, faucet", "account1"]


def test_names_and_addresses_can_be_mixed_and_repeated(node: FakeNode, here: NodeFiles) -> None:
    alice = new_wallet("alice")
    serve(node, {alice: "0.5", STRANGER: "7"})
    result = run("balance", "alice", STRANGER.lower(), "0X" + STRANGER[2:], alice, "--json")
    assert [(item["name"], item["address"]) for item in json.loads(result.stdout)] == [
        ("alice", alice),
        (None, STRANGER),
    ]


def test_an_address_without_a_name_here_has_the_one_that_the_node_gives_it(node: FakeNode, here: NodeFiles) -> None:
    alice = new_wallet("alice")
    serve(node, {alice: "0.5", STRANGER: "7"})
    for address, name in ((alice, "somebody"), (STRANGER, "bakery")):
        node.answers[f"/accounts/{address}"][1]["name"] = name
    assert [line.split()[0] for line in run("balance", "alice", STRANGER).stdout.splitlines()[1:]] == [
        "alice",
        "bakery",
    ]


def test_a_wallet_with_the_name_of_an_account_is_meant_by_it(node: FakeNode, here: NodeFiles) -> None:
    own = new_wallet("account1")
    serve(node, {own: "0.5", ACCOUNTS[0].address: "1", keyring.address_of(here.directory): "2"})
    assert [item["address"] for item in json.loads(run("balance", "account1", "account0", "--json").stdout)] == [
        own,
        ACCOUNTS[0].address,
    ]
    assert ACCOUNTS[1].address not in run("balance").stdout


def test_a_thousand_accounts_are_derived_once(node: FakeNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_node(tmp_path / "home", node.url, development_accounts=1000)
    asked: list[str] = []

    def account(client: object, address: str) -> dict[str, object]:
        asked.append(address)
        return {"address": address, "balance": "1", "nonce": 0, "pending_nonce": 0}

    serve(node, {})
    monkeypatch.setattr("api.cli.client.NodeClient.account", account)
    monkeypatch.setattr("services.wallet.phrases.private_key", lambda *_: pytest.fail("derived one by one"))
    assert len(run("balance").stdout.splitlines()) == 1002
    assert len(set(asked)) == 1001 and asked[0] == keyring.address_of(made.directory)


@pytest.mark.parametrize(
    ("owner", "word"),
    [
        ("alcie", "Did you mean alice?"),
        ("acount1", "Did you mean account1"),
        ("", "no wallet"),
        ("../alice", "no wallet"),
        ("x" * 100_000, "no wallet"),
        ("0x12", "address"),
        (STRANGER[2:], "An address begins with 0x."),
        (STRANGER.replace("9965", "9956"), "checksum"),
        (STRANGER.replace("7D1a", "7d1a"), "checksum"),
    ],
)
def test_a_wrong_owner_is_one_sentence(node: FakeNode, here: NodeFiles, owner: str, word: str) -> None:
    new_wallet("alice")
    refused(run("balance", owner), 1, word)
    assert not [path for _, path, *_ in node.asked if path.startswith("/accounts")]


def test_without_wallets_it_says_how_to_make_one(node: FakeNode) -> None:
    assert run("balance", "--url", node.url).stdout == (
        "There are no wallets yet; `quarry wallet new NAME` makes one.\n"
    )
    assert json.loads(run("balance", "--url", node.url, "--json").stdout) == []


def test_node_means_the_node_that_is_asked_and_no_other(node: FakeNode, here: NodeFiles) -> None:
    refused(run("balance", "node", "--url", "http://127.0.0.1:1"), 1, "its key is not here", "instead of `node`")


def test_lines_fit_the_terminal(node: FakeNode, here: NodeFiles) -> None:
    long = "a-wallet-whose-name-is-as-long-as-a-name-may-be-which-is-64-char"
    alice = new_wallet(long)
    serve(node, {alice: "10000.123456789012345678", STRANGER: "1"})
    for columns in (20, 40, 80, 200):
        result = run("balance", long, STRANGER, columns=columns)
        assert result.exit_code == 0 and max(map(len, result.stdout.splitlines())) <= columns, result.stdout
    narrow, wide = (run("balance", long, columns=columns).stdout.splitlines() for columns in (80, 200))
    assert "WAITING" not in narrow[0] and "WAITING" in wide[0] and len(narrow) == len(wide) == 2
    assert alice in narrow[1] and "a-wal" in narrow[1] and "10000.123456789012345678 QRY" in narrow[1]


def test_wallet_list_and_show_have_balances_where_a_node_answers(node: FakeNode, here: NodeFiles) -> None:
    alice, own = new_wallet("alice"), keyring.address_of(here.directory)
    serve(node, {alice: "0.5", own: "12", ACCOUNTS[0].address: "1", ACCOUNTS[1].address: "2"})
    lines = run("wallet", "list").stdout.splitlines()
    assert lines[1].split() == ["alice", alice, "0.5", "QRY", "ed25519"]
    assert "  balance     0.5 QRY" in run("wallet", "show", "alice").stdout.splitlines()
    assert json.loads(run("wallet", "show", "alice", "--json").stdout)["balance"] == "0.5"


def test_wallet_list_without_a_node_has_none_and_says_so(own_environment: None) -> None:
    alice = new_wallet("alice")
    result = run("wallet", "list")
    assert result.stdout.splitlines()[1].split() == ["alice", alice, "-", "ed25519"]
    assert "--url" in result.stderr
    assert "balance" not in json.loads(run("wallet", "list", "--json").stdout)[0]
    refused(run("wallet", "list", "--url", "http://127.0.0.1:1"), 3, "No node answers")


def test_names_know_a_wallet_that_is_made_later(own_environment: None, tmp_path: Path) -> None:
    """`quarry up` prints names for hours."""
    names = Names(wallets=tmp_path / "home" / "wallets", others={STRANGER: "node"})
    assert names.of(STRANGER) == "node"
    alice = new_wallet("alice")
    assert (names.of(alice), names.beside(alice)) == ("alice", f"{alice} (alice)")
    (tmp_path / "home" / "wallets" / "alice" / "public.key").write_text("nonsense")
    assert Names(wallets=tmp_path / "home" / "wallets", others={}).of(alice) == ""  # and nothing is raised
    assert names.of(None) == names.of(["x"]) == ""


def completed(*words: str) -> list[str]:
    """What a shell is told when Tab is pressed after these words, of which the last is being typed."""
    from click.shell_completion import ShellComplete

    from api.cli import quarry

    shell = ShellComplete(quarry, {}, "quarry", "_QUARRY_COMPLETE")
    return [item.value for item in shell.get_completions(list(words[:-1]), words[-1])]


def test_a_shell_completes_names_of_wallets(node: FakeNode, here: NodeFiles) -> None:
    new_wallet("alice")
    new_wallet("albert")
    assert completed("balance", "al") == ["albert", "alice"]
    assert completed("send", "--from", "a") == ["albert", "alice", "account0", "account1"]
    assert completed("send", "--to", "n") == ["node"]
    assert completed("wallet", "show", "ali") == ["alice"]
    assert completed("wallet", "export", "a") == ["albert", "alice"]
    assert completed("faucet", "z") == []


def test_a_shell_completes_commands_without_importing_them(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.cli.group.import_module", lambda name: pytest.fail(name))
    assert completed("wa") == ["wallet"]
    assert "balance" in completed("")


def test_completing_without_a_home_is_quiet(own_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARRY_DATA_HOME", "~nosuch-user/x")
    assert completed("balance", "a") == []


def test_of_a_thousand_wallets_a_terminal_gets_what_fits_and_only_that_is_asked_for(
    node: FakeNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_node(tmp_path / "home", node.url, development_accounts=1000)
    asked: list[str] = []

    def account(client: object, address: str) -> dict[str, object]:
        asked.append(address)
        return {"address": address, "balance": "1", "nonce": 0, "pending_nonce": 0}

    serve(node, {})
    monkeypatch.setattr("api.cli.client.NodeClient.account", account)
    monkeypatch.setattr("services.wallet.phrases.private_key", lambda *_: pytest.fail("derived one by one"))
    for command in (("wallet", "list"), ("balance",)):
        asked.clear()
        lines = run(*command, columns=80).stdout.splitlines()
        assert len(lines) == 23 and lines[-1] == "The first 21 of 1,001; --all shows all." and len(asked) == 21
        assert len(run(*command, "--all", columns=80).stdout.splitlines()) == 1002
    assert len(json.loads(run("wallet", "list", "--json").stdout)) == 1001
    assert len(run("wallet", "list").stdout.splitlines()) == 1002
