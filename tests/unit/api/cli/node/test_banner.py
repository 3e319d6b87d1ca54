"""What `quarry up` prints when it is ready, on a terminal of 80 columns and 24 lines."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from api.cli import terminal
from api.cli.node.banner import MOST_BALANCES, Accounts, Chain, Shown, banner
from services.system.visible import escaped
from services.wallet.development import PHRASE

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


NEEDED = [
    "  Explorer     http://127.0.0.1:5000/",
    "  JSON-RPC     http://127.0.0.1:8545  (miners with a voucher, too)",
    "  WebSocket    ws://127.0.0.1:8545",
    "  Chain id     31337",
]
STEPS = 4  # lines of the start that stand above the banner on a quick machine


def accounts(number: int, phrase: str = "", balance: str | None = "10000") -> Accounts:
    return Accounts(number, [balance] * min(number, MOST_BALANCES), phrase)


def shown(
    number: int = 10,
    *,
    nodes: Sequence[Shown] = (NODE,),
    chain: Chain = CHAIN,
    width: int = COLUMNS,
    phrase: str = "",
    shell: str = "",
) -> list[str]:
    lines = banner(nodes, chain, accounts(number, phrase), width, shell)
    assert all(terminal.cells(line) <= width for line in lines), max(lines, key=terminal.cells)
    return lines


NOTES = ("  Continues    the chain in /home/ada/.quarry/local", "  Ephemeral    the chain is removed at the end")


@pytest.mark.parametrize("number", [0, 1, 10, 20, 1000])
@pytest.mark.parametrize("shell", ["", 'export PATH="/home/ada/quarry/.venv/bin:$PATH"'])
@pytest.mark.parametrize(("phrase", "notes"), [("", ()), (PHRASE, NOTES[1:]), ("", NOTES)])
def test_all_of_it_is_on_one_screen(number: int, shell: str, phrase: str, notes: Sequence[str]) -> None:
    lines = shown(number, phrase=phrase, chain=replace(CHAIN, notes=notes), shell=shell)
    assert len(lines) + 2 < ROWS, "with an empty line above and below"
    assert [line for line in lines if line in NEEDED] == NEEDED
    for text in (NODE.directory, NODE.admin_token_file, f"{NODE.url}/docs", f"{NODE.url}/rq", NODE.address, shell):
        assert any(text in line for line in lines), text
    assert any(line.startswith("Ctrl-C stops everything.") for line in lines)


def test_the_start_and_the_banner_are_on_one_screen() -> None:
    assert STEPS + 1 + len(shown()) + 1 <= ROWS


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (1, "account0, 10000 QRY"),
        (10, "account0 to account9, 10000 QRY each"),
        (20, "account0 to account19, 10000 QRY each"),
        (21, "account0 to account20"),
        (1000, "account0 to account999"),
    ],
)
def test_the_accounts_are_named_and_a_command_lists_them(number: int, said: str) -> None:
    assert f"  Accounts     {said}: quarry wallet accounts" in shown(number)


@pytest.mark.parametrize("balances", [["10000", "5"], ["10000", None], ["10000"], []])
def test_balances_that_differ_or_are_unknown_are_not_told(balances: list[str | None]) -> None:
    lines = banner([NODE], CHAIN, Accounts(2, balances), COLUMNS)
    assert "  Accounts     account0 to account1: quarry wallet accounts" in lines


def test_a_new_phrase_is_shown() -> None:
    assert f"  Phrase       {PHRASE}" in shown(10, phrase=PHRASE)


def test_without_a_websocket_there_is_no_line_for_it() -> None:
    lines = shown(nodes=[replace(NODE, ws_url="")])
    assert not [line for line in lines if "WebSocket" in line]


@pytest.mark.parametrize(("number", "fits"), [(2, True), (3, True), (5, True), (16, False)])
def test_of_several_nodes_each_is_named(number: int, fits: bool) -> None:
    """Sixteen nodes take sixteen lines; the addresses are the last ones, so they are on the screen all the same."""
    nodes = [
        replace(NODE, name=f"node{place}", url=f"http://127.0.0.1:{4999 + place}", rpc_url=f"http://127.0.0.1:{place}")
        for place in range(1, number + 1)
    ]
    lines = shown(nodes=nodes)
    assert lines[0] == f"node1 to node{number} are ready: chain local, 2 mining workers each."
    for node in nodes:
        [line] = [line for line in lines if line.startswith(f"  {node.name} ")]
        assert line.split() == [node.name, f"{node.url}/", node.rpc_url] and line in lines[-ROWS:]
    assert (len(lines) + 2 < ROWS) == fits
    wide = shown(nodes=nodes, width=120)
    assert wide[-4 - number].split()[-1] == NODE.address


def test_a_chain_without_accounts_has_no_list_of_them_and_no_wallets() -> None:
    lines = shown(0, chain=replace(CHAIN, has_accounts=False))
    assert lines[0].startswith("node1 is ready") and not [line for line in lines if "account" in line]
    assert "In another terminal, try: quarry status, quarry mine, quarry chain show" in lines
    assert "In another terminal, try: quarry status, quarry mine, quarry wallet new alice" in shown(0)


def test_a_shell_that_does_not_find_quarry_is_told_what_to_type() -> None:
    line = 'export PATH="/home/ada/quarry/.venv/bin:$PATH"'
    lines = shown(shell=line)
    assert lines[-3:-1] == [
        f"In another terminal: {line}",
        "Then try: quarry status, quarry mine, quarry wallet new alice",
    ]


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
