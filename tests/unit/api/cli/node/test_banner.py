"""What `quarry up` prints when it is ready, on a terminal of 80 columns and 24 lines."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from api.cli import terminal
from api.cli.node.banner import Accounts, Chain, Shown, banner
from services.system.visible import escaped
from services.wallet.development import PHRASE, derived

ROWS, COLUMNS = 24, 80
NODE = Shown(
    name="node1",
    url="http://127.0.0.1:5000",
    rpc_url="http://127.0.0.1:8545",
    ws_url="ws://127.0.0.1:8545",
    address="0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
    admin_token_file="/home/ada/.quarry/local/node1/admin-token",
    directory="/home/ada/.quarry/local/node1",
)
CHAIN = Chain("local", 31337, "QRY", 2, has_accounts=True)


def accounts(number: int, phrase: str = "", balance: str | None = "10000") -> Accounts:
    return Accounts(derived(PHRASE, number), [balance] * number, phrase)


def shown(
    number: int = 10, *, nodes: Sequence[Shown] = (NODE,), chain: Chain = CHAIN, width: int = COLUMNS, phrase: str = ""
) -> list[str]:
    lines = banner(nodes, chain, accounts(number, phrase), width)
    assert all(terminal.cells(line) <= width for line in lines), max(lines, key=terminal.cells)
    return lines


@pytest.mark.parametrize(("number", "listed"), [(1, 1), (10, 10), (20, 20), (21, 10), (100, 10), (1000, 10)])
def test_few_accounts_are_all_listed_and_of_many_the_first(number: int, listed: int) -> None:
    lines = shown(number)
    every = derived(PHRASE, number)
    for kind in ("address", "private_key"):
        there = [account for account in every if any(getattr(account, kind) in line for line in lines)]
        assert there == list(every[:listed])
    assert any(f"And {number - listed} more" in line for line in lines) == (number > listed)


@pytest.mark.parametrize("number", [10, 20, 100])
def test_the_last_screen_has_all_that_is_needed_to_connect(number: int) -> None:
    screen = shown(number, phrase=PHRASE)[-ROWS:]
    assert screen[-4:] == [
        "  Explorer    http://127.0.0.1:5000/",
        "  RPC         http://127.0.0.1:8545",
        "  WebSocket   ws://127.0.0.1:8545",
        "  Chain id    31337",
    ]
    assert "Ctrl-C stops everything." in screen
    assert any(PHRASE in line for line in screen)


def test_balances_stand_beside_their_accounts() -> None:
    assert "(0) 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266  10000 QRY" in shown(2)
    unknown = banner([NODE], CHAIN, accounts(2, balance=None), COLUMNS)
    assert "(0) 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266" in unknown


@pytest.mark.parametrize(
    ("number", "names"), [(1, "account0"), (10, "account0 to account9"), (100, "account0 to account99")]
)
def test_the_names_of_the_accounts_are_told(number: int, names: str) -> None:
    assert f"Other commands know them as {names}." in shown(number)


def test_without_a_websocket_there_is_no_line_for_it() -> None:
    lines = shown(nodes=[replace(NODE, ws_url="")])
    assert not [line for line in lines if "WebSocket" in line]


def test_of_several_nodes_each_is_named() -> None:
    nodes = [replace(NODE, name=f"node{number}", url=f"http://127.0.0.1:{5000 + number}") for number in range(1, 17)]
    lines = shown(nodes=nodes)
    assert "node1 to node16 are up: chain local, 2 mining workers each." in lines
    assert [line for line in lines if line.startswith("  node16  http://127.0.0.1:5016  0x")]


def test_a_chain_without_accounts_has_no_list_of_them_and_no_wallets() -> None:
    lines = shown(0, chain=replace(CHAIN, has_accounts=False))
    assert lines[0].startswith("node1 is up")
    assert "In another terminal, try: quarry status, quarry mine, quarry chain show" in lines
    assert "In another terminal, try: quarry status, quarry mine, quarry wallet new alice" in shown(0)


@pytest.mark.parametrize("width", [20, 40, 79, 80, 200])
@pytest.mark.parametrize(
    "directory", ["/home/" + "x" * 300, "/home/" + "長い道" * 60, "/with blanks " * 20, "/\x1b[2J\n/evil"]
)
def test_no_line_is_wider_than_the_terminal(directory: str, width: int) -> None:
    node = replace(NODE, directory=directory, admin_token_file=str(Path(directory) / "admin-token"))
    lines = shown(nodes=[node], width=width, phrase=PHRASE)
    assert not [line for line in lines if "\x1b" in line or "\n" in line]
    together = "".join(line.strip() for line in lines).replace(" ", "")
    assert escaped(directory).replace(" ", "") in together
