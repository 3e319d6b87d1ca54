"""The history of an address adds up to its balance, whatever has happened on the chain."""

import re
from decimal import Decimal

import pytest

from api.app import create_app
from api.explorer.pages.addresses import PAGE
from services.node import Node
from services.store.ledger import LedgerReader
from tests.integration.explorer.pages import Tables, page
from tests.support.http import Client, FlaskDoor
from tests.support.keys import ALICE, BOB, CAROL, DAVE, MINER
from tests.support.nodes import MakeNode, grow, transfer
from tests.support.scene import reorganise

# An address without a key of ours, which nobody pays at genesis.
PAID = "0x00000000000000000000000000000000000000AA"
MINUS = "\N{MINUS SIGN}"


def shown(client: Client, address: str) -> tuple[Decimal, list[dict[str, str]]]:
    """The balance that the page of an address states, and its history as rows, those of all pages."""
    rows: list[dict[str, str]] = []
    path: str | None = f"/address/{address}"
    balance = ""
    while path:
        found = page(client, path)
        for names, table in Tables(found).tables:
            if "Change" in names:
                rows += [{label: text.replace(MINUS, "-") for label, text in row} for row in table if row]
        balance = re.findall(r"Balance([0-9,.]+) QRY", re.sub(r"\s*\n\s*", "", found.text))[0]
        following = [attrs["href"] for tag, attrs in found.elements if attrs.get("rel") == "next"]
        path = following[0] if following else None
    return Decimal(balance.replace(",", "")), rows


def total(rows: list[dict[str, str]]) -> Decimal:
    return sum((value(row["Change"]) for row in rows), Decimal())


def value(change: str) -> Decimal:
    """A change, from its text: "+ 1,000.5 QRY", "- 2 QRY" or "0 QRY"."""
    assert re.fullmatch(r"(0|[+-] (?!0 )[0-9][0-9,]*(\.[0-9]+)?) QRY", change), change
    return Decimal(re.sub("[ ,QRY]", "", change))


def busy_chain(node: Node) -> None:
    """Everything that changes a balance, each in a way of its own."""
    alice, bob, carol = ALICE.address, BOB.address, CAROL.address
    grow(node, transfer(ALICE, 0, amount="5"), transfer(BOB, 0, recipient=alice, amount="0.25", fee="0"))
    grow(node, transfer(ALICE, 1, recipient=alice, amount="7"), recipient=carol)  # to itself: only the fee is gone
    grow(node, transfer(BOB, 1, recipient=bob, amount="3", fee="0"), recipient=bob)  # which changes nothing
    grow(node, transfer(ALICE, 2, type="approve", recipient=carol, amount="50"))
    grow(node, transfer(CAROL, 0, type="transfer_from", owner=alice, recipient=bob, amount="2"))
    grow(node, transfer(CAROL, 1, type="transfer_from", owner=alice, recipient=carol, amount="1.5"))
    grow(node, transfer(CAROL, 2, type="transfer_from", owner=alice, recipient=alice, amount="4"))
    grow(node, transfer(ALICE, 3, type="approve", recipient=alice, amount="1"))
    grow(node, transfer(ALICE, 4, type="transfer_from", owner=alice, recipient=bob, amount="0.5"))
    grow(node, transfer(BOB, 2, amount="0", recipient=DAVE.address, fee="0"))
    grow(node, transfer(ALICE, 5, amount="1", recipient=PAID), recipient=alice)


@pytest.mark.parametrize("size", [1, 2, 3, PAGE])
def test_every_history_adds_up_across_its_pages(node: Node, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr("api.explorer.pages.addresses.PAGE", size)
    busy_chain(node)
    client = Client(FlaskDoor(create_app(node)))
    addresses = every_address(node.chain)
    assert len(addresses) > 100  # those of genesis, the miner, and one that was paid without having been there
    known = {
        ALICE.address,
        BOB.address,
        CAROL.address,
        DAVE.address,
        MINER,
        PAID,
    }
    assert known <= addresses
    for address in sorted(known) if size < PAGE else sorted(addresses):
        balance, rows = shown(client, address)
        assert total(rows) == balance, address
        assert balance * 10**18 == node.chain.account(address).balance, address


def every_address(chain: LedgerReader) -> set[str]:
    found, cursor = {}, -1
    while cursor:
        cursor, entries = chain.ledger_page("accounts", max(cursor, 0), 1000)
        found |= entries
    return {address.decode() for address in found}


def test_each_row_says_what_it_did_to_this_account(node: Node, client: Client) -> None:
    busy_chain(node)
    _, rows = shown(client, ALICE.address)
    told = [(row["Kind"], row["Amount"], row["Fee paid"], row["Change"]) for row in rows]
    assert told == [
        ("transfer", "1 QRY", "0.001 QRY", "- 1.001 QRY"),
        ("reward", "1.001 QRY with 0.001 of fees", "", "+ 1.001 QRY"),
        ("transfer from", "0.5 QRY", "0.001 QRY", "- 0.501 QRY"),
        ("approve", "up to 1 QRY", "0.001 QRY", "- 0.001 QRY"),
        ("transfer from to itself", "4 QRY", "", "0 QRY"),
        ("transfer from", "1.5 QRY", "", "- 1.5 QRY"),
        ("transfer from", "2 QRY", "", "- 2 QRY"),
        ("approve", "up to 50 QRY", "0.001 QRY", "- 0.001 QRY"),
        ("transfer to itself", "7 QRY", "0.001 QRY", "- 0.001 QRY"),
        ("transfer", "0.25 QRY", "", "+ 0.25 QRY"),
        ("transfer", "5 QRY", "0.001 QRY", "- 5.001 QRY"),
        ("genesis coins", "1,000 QRY", "", "+ 1,000 QRY"),
    ]
    assert rows[-1]["Block"] == "chain spec" and rows[-1]["From"] == "new coins"
    # Who only spends for another pays the fee; who was only allowed to spend is not changed.
    _, carols = shown(client, CAROL.address)
    changes = [row["Change"] for row in carols]
    assert changes == [
        "- 0.001 QRY",
        "+ 1.499 QRY",
        "- 0.001 QRY",
        "0 QRY",
        "+ 1.001 QRY",
        "+ 1,000 QRY",
    ]


@pytest.mark.parametrize("blocks", [PAGE - 1, PAGE, PAGE + 1])
def test_the_genesis_coins_end_the_last_page_and_only_that(node: Node, client: Client, blocks: int) -> None:
    for _ in range(blocks):
        grow(node, recipient=DAVE.address)
    balance, rows = shown(client, DAVE.address)
    assert [row["Kind"] for row in rows] == ["reward"] * blocks + ["genesis coins"]
    assert total(rows) == balance == 1000 + blocks
    assert "There is no such page" in page(client, f"/address/{DAVE.address}?page=9").text
    assert "genesis coins" not in page(client, f"/address/{DAVE.address}?page=9").text


def test_an_account_that_has_done_nothing_has_its_genesis_coins(client: Client) -> None:
    balance, rows = shown(client, DAVE.address)
    assert balance == total(rows) == 1000 and [row["Kind"] for row in rows] == ["genesis coins"]


def test_a_history_adds_up_after_a_reorganisation(make_node: MakeNode) -> None:
    node, rival = make_node(), make_node()
    client = Client(FlaskDoor(create_app(node)))
    grow(node, transfer(ALICE, 0))
    left = grow(node, transfer(ALICE, 1), recipient=BOB.address)
    reorganise(node, rival, left.index - 1, 3)
    for address in (ALICE.address, BOB.address, MINER):
        balance, rows = shown(client, address)
        assert total(rows) == balance, address
