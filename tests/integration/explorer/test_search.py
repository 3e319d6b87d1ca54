"""The search field: heights, hashes and their first digits, addresses; what fits several pages; what fits none."""

from contextlib import ExitStack

import pytest

from api.access import served
from api.app import create_app
from api.explorer.search import MOST
from api.serving import budget as budgets
from api.serving.budget import Kind
from services.node import Node
from tests.integration.explorer.pages import page
from tests.support.http import Client, FlaskDoor
from tests.support.keys import ALICE, BOB, MINER
from tests.support.nodes import MakeNode, grow, transfer


def target(client: Client, query: str) -> str:
    answer = client.get("/search?q=" + query.replace("#", "%23"))
    assert answer.status == 302, answer.body[:300]
    return answer.headers["location"]


def test_the_first_digits_of_a_hash_are_enough(node: Node, client: Client) -> None:
    grow(node)
    sent = client.submit(transfer(ALICE, 0))
    block = grow(node)
    for digits in (block.hash[:12], block.hash[:63], "0x" + block.hash[:13], block.hash[:11].upper()):
        assert target(client, digits) == f"/block/{block.hash}"
    for digits in (sent[:10], "0X" + sent[:13].upper(), f"{sent[:8]}…{sent[-6:]}", f"{sent[:8]}...{sent[-6:]}"):
        assert target(client, digits) == f"/tx/{sent}"
    waiting = client.submit(transfer(BOB, 0))
    assert target(client, waiting[:9]) == f"/tx/{waiting}"


def test_what_fits_several_pages_is_listed_newest_first_and_bounded(
    node: Node, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.explorer.search.is_beginning", lambda _: True)  # two digits, so that many fit
    for _ in range(80):  # at the difficulty of 64, one hash in four begins with two zeros
        grow(node)
    answer = client.get("/search?q=00").ok()
    listed = [item["name"] for item in answer["candidates"] if item["kind"] == "block"]
    on_chain = node.chain.hashes(1, 100)[::-1]
    assert listed == [name for name in on_chain if name.startswith("00")][:MOST] and answer["more"]
    assert len(listed) == MOST
    found = page(client, "/search?q=00")
    assert {f"/block/{name}" for name in listed} <= found.links() and "Type more digits" in found.text


def test_a_whole_height_goes_first_and_digits_with_a_zero_in_front_are_no_height(node: Node, client: Client) -> None:
    for _ in range(5):
        grow(node)
    assert target(client, "4") == target(client, "#4") == "/block/4"
    assert target(client, "latest") == "/block/latest"
    assert "at least 4 digits" in page(client, "/search?q=004", 404).text
    assert "ends at block 6" in page(client, "/search?q=999999", 404).text
    # 0x and few digits may be a height as JSON-RPC writes it.
    assert target(client, "0x4") == target(client, "0X04") == "/block/4"
    answer = client.get("/search?q=0x0004")
    assert answer.headers.get("location") == "/block/4" or "0x0004 is 4" in str(answer.json)


def test_a_wrong_checksum_is_explained(client: Client) -> None:
    wrong = ALICE.address[:-1] + ALICE.address[-1].swapcase()
    if wrong == ALICE.address:
        wrong = ALICE.address[:-1] + ("0" if ALICE.address[-1] != "0" else "1")
    for path in (f"/search?q={wrong}", f"/address/{wrong}"):
        text = page(client, path, 404).text
        assert "is its checksum (EIP-55)" in text and wrong in text
    assert "checksum" in client.get(f"/search?q={wrong}").refused(404, "nothing_found")["detail"]
    assert target(client, ALICE.address.lower()) == target(client, ALICE.address.upper()) == f"/address/{ALICE.address}"


def test_an_address_without_0x_or_with_a_digit_too_few_is_understood(client: Client) -> None:
    assert target(client, ALICE.address[2:]) == target(client, ALICE.address[2:].lower()) == f"/address/{ALICE.address}"
    for query, count in ((ALICE.address[:-1], 39), (ALICE.address.lower() + "0", 41)):
        assert (
            f"An address has 40 digits after 0x, and this has {count}." in page(client, f"/search?q={query}", 404).text
        )


def test_an_account_is_found_by_its_name(node: Node, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    node.names.give(ALICE.address, "Alice the first")
    assert target(client, "alice+the+FIRST") == f"/address/{ALICE.address}"
    known = {"miner": [MINER, BOB.address]}
    monkeypatch.setattr("api.explorer.search.addresses_named", lambda node, name: known.get(name, []))
    found = page(client, "/search?q=miner")
    assert {f"/address/{MINER}", f"/address/{BOB.address}"} <= found.links()
    assert "Nothing was found" in page(client, "/search?q=nobody", 404).text


@pytest.mark.parametrize("query", ["", "x" * 5000, "zzzz", "0x", "-1", "1e5", "ab cd", "0xabc", "é" * 64, "f" * 65])
def test_what_fits_nothing_is_a_404(client: Client, query: str) -> None:
    page(client, f"/search?q={query}", 404)
    client.get(f"/search?q={query}").refused(404, "nothing_found")


def test_only_so_many_searches_run_at_once(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "PATIENCE", 0.01)
    grow(node)
    app = create_app(node)
    client, budget = Client(FlaskDoor(app)), served(app).budget
    with ExitStack() as held:
        for _ in range(budget.shares.search):
            held.enter_context(budget.hold(Kind.SEARCH))
        answer = client.get("/search?q=abcd")
        assert answer.refused(503, "too_many_searches")["detail"] == "Too many searches run at once; try again."
        assert answer.headers["retry-after"] == "1"
        assert "Too many searches run at once" in page(client, "/search?q=abcd", 503).text
        assert client.get("/status").status == client.get("/").status == 200, "other pages are answered"
    client.get("/search?q=abcd").refused(404, "nothing_found")
    assert budget.held(Kind.SEARCH) == 0


def test_nothing_begins_so(node: Node, client: Client) -> None:
    grow(node)
    detail = client.get("/search?q=fedcba9876").refused(404, "nothing_found")["detail"]
    assert detail == "No block and no transaction of this chain has a hash that begins with fedcba9876."


def test_a_tutorial_chain_is_searched_too(make_node: MakeNode) -> None:
    node = make_node(SPEC="tutorial")
    client = Client(FlaskDoor(create_app(node)))
    sent = client.submit({"sender": "anna", "recipient": "ben", "amount": 1})
    assert target(client, sent[:9]) == f"/tx/{sent}"
