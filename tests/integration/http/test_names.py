"""Names over HTTP and on pages: who may give them, what is refused, and that nobody else sees them."""

import json
from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from services.node import Node
from services.operators.names import MOST_GIVEN
from services.wallet import keyring
from tests.support.http import Answer, Client, FlaskDoor
from tests.support.keys import ALICE, BOB, CAROL, MINER, TOKEN
from tests.support.nodes import MakeNode, grow, transfer

BEARER = {"Authorization": f"Bearer {TOKEN}"}
HOSTILE = "<b onmouseover=alert(1)>\"'&{{7*7}}</b>"
BROWSER = {"Accept": "text/html"}


def given(client: Client, address: str, name: Any) -> Any:
    return client.post("/names", {"address": address, "name": name}, **BEARER)


def remove(client: Client, address: str, **headers: str) -> Answer:
    body = json.dumps({"address": address}).encode()
    return client.door.call("DELETE", "/names", body, Content_Type="application/json", **headers)


def html(client: Client, path: str) -> str:
    return client.get(path, **BROWSER).body.decode()


def test_a_name_is_given_shown_and_removed(node: Node, client: Client) -> None:
    grow(node)
    client.submit(transfer(ALICE, 0))
    grow(node)
    assert given(client, ALICE.address.lower(), "the bakery").ok() == {
        "address": ALICE.address, "name": "the bakery", "kind": "given", "faucet": False,
    }  # fmt: skip
    found = {item["address"]: item for item in client.get("/names").ok()["names"]}
    assert found[ALICE.address]["name"] == "the bakery" and client.get("/names").ok()["most"] == MOST_GIVEN
    block = html(client, "/block/3")
    assert f'title="{ALICE.address}"><bdi>the bakery</bdi></a>' in block
    page = html(client, f"/address/{ALICE.address}")
    assert "<h1><bdi>the bakery</bdi></h1>" in page and ALICE.address in page and "named by the operator" in page
    assert "<title>the bakery · Quarry</title>" in page
    removed = remove(client, ALICE.address, **BEARER)
    assert removed.ok() == {"address": ALICE.address, "name": None}
    assert "the bakery" not in html(client, "/block/3")
    remove(client, ALICE.address, **BEARER).refused(404, "unknown_name")


def test_the_node_is_called_by_its_name(node: Node, client: Client) -> None:
    grow(node)
    assert node.settings.reward_address == MINER
    assert f'title="{MINER}"><bdi>{node.settings.node}</bdi></a>' in html(client, "/block/2")
    assert "· this node<" in html(client, f"/address/{MINER}")


@pytest.mark.parametrize("query", ["the bakery", "The%20BAKERY"])
def test_an_address_is_found_by_its_name(client: Client, query: str) -> None:
    given(client, ALICE.address, "The Bakery").ok()
    assert client.get(f"/search?q={query.replace(' ', '+')}").headers["location"] == f"/address/{ALICE.address}"
    assert client.get("/search?q=the+mill", **BROWSER).status == 404


def test_wallets_are_called_by_their_names(make_node: MakeNode, tmp_path: Path) -> None:
    keyring.create(tmp_path / "wallets" / "alice")
    here = make_node(NAMED_WALLETS=str(tmp_path / "wallets"))
    client = Client(FlaskDoor(create_app(here, TOKEN)))
    address = keyring.address_of(tmp_path / "wallets" / "alice")
    assert "<h1><bdi>alice</bdi></h1>" in html(client, f"/address/{address}")
    given(client, address, "savings").ok()
    assert remove(client, address, **BEARER).ok()["name"] == "alice"
    assert here.names.find("ALICE") == address


def test_hostile_names_are_harmless(node: Node, client: Client) -> None:
    grow(node)
    client.submit(transfer(ALICE, 0))
    grow(node)
    given(client, ALICE.address, HOSTILE).ok()
    for path in ("/block/3", f"/address/{ALICE.address}", f"/address/{BOB.address}", "/pool", "/"):
        page = html(client, path)
        assert "<b onmouseover" not in page and "49" not in page.partition("onmouseover")[2][:30], path
    assert "&lt;b onmouseover=alert(1)&gt;" in html(client, "/block/3")
    assert client.get("/names").type == "application/json"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}])
def test_only_the_operator_gives_and_removes_names(node: Node, client: Client, headers: dict[str, str]) -> None:
    given(client, ALICE.address, "alice").ok()
    client.post("/names", {"address": BOB.address, "name": "bob"}, **headers).refused(401, "admin_token_required")
    remove(client, ALICE.address, **headers).refused(401, "admin_token_required")
    assert node.names.given() == {ALICE.address: "alice"}


def test_a_page_of_another_site_cannot_give_names(client: Client, node: Node) -> None:
    foreign = {**BEARER, "Origin": "http://evil.example", "Sec_Fetch_Site": "cross-site"}
    client.post("/names", {"address": BOB.address, "name": "bob"}, **foreign).refused(403, "cross_site")
    assert node.names.given() == {}


ADDRESS, NAME = ALICE.address, "alice"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        *[(bad, 400, "not_an_object") for bad in ([], "x", 7)],
        ({}, 422, "wrong_fields"), ({"name": NAME}, 422, "wrong_fields"), ({"address": ADDRESS}, 422, "wrong_fields"),
        ({"address": ADDRESS, "name": NAME, "kind": "node"}, 422, "wrong_fields"),
        *[({"address": bad, "name": NAME}, 400, "bad_address") for bad in (None, 7, [], {}, "", "0x", "alice")],
        ({"address": "0x" + "a" * 10**5, "name": NAME}, 400, "bad_address"),
        ({"address": ADDRESS[:-1] + ("0" if ADDRESS[-1] != "0" else "1"), "name": NAME}, 400, "bad_checksum"),
        *[({"address": ADDRESS, "name": bad}, 400, "bad_name") for bad in (None, 7, True, [], {}, "", " ", "a" * 41)],
        *[({"address": ADDRESS, "name": bad}, 400, "bad_name") for bad in (ADDRESS, "0x1", "a\n", "\u202e", "77")],
        ({"address": ADDRESS, "name": "x" * 10**5}, 400, "bad_name"),
    ],
)  # fmt: skip
def test_bad_requests_change_nothing(client: Client, node: Node, body: Any, status: int, code: str) -> None:
    client.post("/names", body, **BEARER).refused(status, code)
    assert node.names.given() == {}


@pytest.mark.parametrize("text", [b"", b"{", b"null", b'{"address": 1, "address": 2}', b"\xff", b"[" * 100])
def test_broken_json_changes_nothing(client: Client, text: bytes) -> None:
    for method in ("POST", "DELETE"):
        answer = client.door.call(method, "/names", text, **BEARER, Content_Type="application/json")
        assert answer.status == 400, answer.body


def test_two_addresses_do_not_share_a_name(client: Client, node: Node) -> None:
    given(client, ALICE.address, "bakery").ok()
    refusal = given(client, BOB.address, "BAKERY").refused(400, "name_taken")
    assert ALICE.address in json.dumps(refusal)
    given(client, BOB.address, node.settings.node).refused(400, "name_taken")


def test_names_stay_in_this_node(client: Client, node: Node) -> None:
    """Nothing that peers ask for, and nothing that is kept of the chain, has a name in it."""
    grow(node)
    given(client, MINER, "Zaphod").ok()
    given(client, CAROL.address, "Beeblebrox").ok()
    client.submit(transfer(ALICE, 0))
    paths = "/chain /blocks /headers?limit=10 /status /nodes /spec /mempool /metrics /ledger"
    for path in paths.split():
        assert b"Zaphod" not in client.get(path).body, path
    assert client.get(f"/accounts/{MINER}").ok()["name"] == "Zaphod", "as at /names: no peer asks for either"
    state = client.post("/rpc", {"jsonrpc": "2.0", "id": 1, "method": "anvil_dumpState", "params": []}).body
    assert b"Zaphod" not in state
    assert b"Zaphod" not in json.dumps(node.chain.block_object(node.chain.tip().hash)).encode()
