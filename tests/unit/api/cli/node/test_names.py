"""`quarry names`: what it asks of the node, and what it prints."""

import json
from typing import Any

import pytest

from tests.support.cli import run
from tests.support.fake_node import FakeNode
from tests.support.keys import ALICE, BOB

pytestmark = pytest.mark.usefixtures("own_environment")

BAKERY = {"address": ALICE.address, "name": "The Bakery", "kind": "given", "faucet": False}
WELL = {"address": BOB.address, "name": "account0", "kind": "development", "faucet": True}


def answer(node: FakeNode, value: Any, status: int = 200) -> None:
    node.answers["/names"] = status, value


def test_the_list(node: FakeNode) -> None:
    answer(node, {"names": [BAKERY, WELL], "most": 1000})
    result = run("names", "list", "--url", node.url)
    assert result.stdout.splitlines() == [
        f"{'ADDRESS':42}  NAME        KIND",
        f"{ALICE.address}  The Bakery  given",
        f"{BOB.address}  account0    development, faucet",
    ]
    assert json.loads(run("names", "list", "--json", "--url", node.url).stdout) == {"names": [BAKERY, WELL]}


def test_an_empty_list_says_how_to_give_one(node: FakeNode) -> None:
    answer(node, {"names": [], "most": 1000})
    assert "quarry names add ADDRESS NAME" in run("names", "list", "--url", node.url).stdout


def test_a_wallet_or_an_address_is_named(node: FakeNode) -> None:
    answer(node, BAKERY)
    result = run("names", "add", ALICE.address.lower(), "The Bakery", "--url", node.url)
    assert result.stdout == f"{ALICE.address} is The Bakery.\n"
    address = json.loads(run("wallet", "new", "alice", "--json").stdout)["address"]
    run("names", "add", "alice", "savings", "--url", node.url)
    sent = [json.loads(body) for method, path, body, *_ in node.asked if method == "POST"]
    assert sent == [{"address": ALICE.address, "name": "The Bakery"}, {"address": address, "name": "savings"}]


def test_a_name_is_removed_by_itself_or_by_its_address(node: FakeNode) -> None:
    answer(node, {"names": [BAKERY], "address": ALICE.address, "name": None})
    for who in ("the bakery", ALICE.address):
        result = run("names", "remove", who, "--url", node.url)
        assert (result.exit_code, result.stdout) == (0, f"{ALICE.address} has no name now.\n")
    answer(node, {"names": [BAKERY], "address": ALICE.address, "name": "node1"})
    assert run("names", "remove", "The Bakery", "--url", node.url).stdout == f"{ALICE.address} is node1 again.\n"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("add", "nobody", "x"), 1, "There is no wallet with that name"),
        (("add", "0x12", "x"), 1, "address"),
        (("add", ALICE.address, ""), 2, "1 to 40 visible characters"),
        (("add", ALICE.address, "  "), 2, "1 to 40 visible characters"),
        (("add", ALICE.address), 2, "Missing argument 'NAME'"),
        (("add", ALICE.address, "a", "b"), 2, "unexpected extra argument"),
        (("remove", "mill"), 1, "No address has this name; `quarry names list` shows all names."),
        (("remove", "ACCOUNT0"), 1, "by itself; `quarry names add` gives it another."),
        (("remove",), 2, "Missing argument"),
        (("rename", "x"), 2, "No such command"),
    ],
)
def test_wrong_use_is_one_sentence(node: FakeNode, arguments: tuple[str, ...], code: int, says: str) -> None:
    answer(node, {"names": [BAKERY, WELL], "most": 1000})
    result = run("names", *arguments, "--url", node.url)
    assert result.exit_code == code and says in result.stderr, result.stderr
    assert "Traceback" not in result.stderr and result.stdout == ""
    assert all(method == "GET" for method, *_ in node.asked)


def test_a_refusal_of_the_node_is_shown(node: FakeNode) -> None:
    answer(node, {"code": "name_taken", "detail": "0x… has this name; choose another, or remove that one."}, 400)
    result = run("names", "add", ALICE.address, "mill", "--url", node.url)
    assert result.exit_code == 1 and "has this name; choose another" in result.stderr


def test_a_long_list_ends_with_the_terminal(node: FakeNode) -> None:
    answer(node, {"names": [WELL] * 1000, "most": 1000})
    lines = run("names", "list", "--url", node.url, columns=80).stdout.splitlines()
    assert len(lines) == 23 and lines[-1] == "The first 21 of 1,000; --all shows all."
    assert len(run("names", "list", "--all", "--url", node.url, columns=80).stdout.splitlines()) == 1001
