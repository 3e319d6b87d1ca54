"""The faucet: ten coins, on development chains that only this machine can reach."""

import threading
from typing import Any

import pytest

from api.app import create_app
from api.rest import faucet
from services.node import Node
from tests.integration.rpc.client import OWNERS, TOKEN, ZERO, Rpc
from tests.support.http import Client, FlaskDoor
from tests.support.nodes import MakeNode, grow
from tests.support.specs import COIN

NOBODY = "0x000000000000000000000000000000000000dEaD"


def open_faucet(node: Node) -> Client:
    return Client(FlaskDoor(create_app(node)))


def test_ten_coins_arrive_with_the_next_block(node_and_rpc: tuple[Node, Rpc]) -> None:
    node, rpc = node_and_rpc
    client = open_faucet(node)
    sent = client.post("/faucet", {"address": NOBODY.lower()}).ok(201)
    assert sent["amount"] == "10"
    again = client.post("/faucet", {"address": NOBODY}).ok(201)
    assert again["id"] != sent["id"]
    grow(node)
    assert rpc.number("eth_getBalance", NOBODY) == 20 * COIN
    assert rpc("eth_getTransactionReceipt", "0x" + sent["id"])["from"] == OWNERS[0].address


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [({}, 422, "missing_field"), ([], 422, "missing_field"), ({"address": "0x12"}, 400, "bad_address"),
     ({"address": NOBODY, "amount": "1000"}, 422, "missing_field"), ({"address": None}, 400, "bad_address"),
     ({"address": NOBODY.replace("dEaD", "DeaD")}, 400, "bad_checksum"),
     ({"address": ZERO}, 400, "bad_recipient"), ({"address": TOKEN}, 400, "bad_recipient")],
)  # fmt: skip
def test_bad_requests(node_and_rpc: tuple[Node, Rpc], body: Any, status: int, code: str) -> None:
    open_faucet(node_and_rpc[0]).post("/faucet", body).refused(status, code)


def test_it_is_bounded(node_and_rpc: tuple[Node, Rpc]) -> None:
    node, _ = node_and_rpc
    client = open_faucet(node)
    # The account has a hundred coins, for nine of its gifts and their fees.
    answers = [client.post("/faucet", {"address": NOBODY}) for _ in range(11)]
    assert [answer.status for answer in answers[:9]] == [201] * 9
    answers[10].refused(400, "insufficient_funds")


def test_it_gives_no_more_before_a_block(node_and_rpc: tuple[Node, Rpc], monkeypatch: pytest.MonkeyPatch) -> None:
    node, _ = node_and_rpc
    monkeypatch.setattr(faucet, "MAX_WAITING", 2)
    client = open_faucet(node)
    for _ in range(2):
        client.post("/faucet", {"address": NOBODY}).ok(201)
    client.post("/faucet", {"address": NOBODY}).refused(429, "too_many_requests")
    grow(node)
    client.post("/faucet", {"address": NOBODY}).ok(201)


def test_concurrent_requests_are_served_once_each(node_and_rpc: tuple[Node, Rpc]) -> None:
    node, rpc = node_and_rpc
    client = open_faucet(node)
    ids: list[str] = []

    def ask() -> None:
        ids.append(client.post("/faucet", {"address": NOBODY}).ok(201)["id"])

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    grow(node)
    assert len(set(ids)) == 4 and rpc.number("eth_getBalance", NOBODY) == 40 * COIN


def test_other_chains_have_none(make_node: MakeNode) -> None:
    open_faucet(make_node()).post("/faucet", {"address": NOBODY}).refused(404, "no_faucet")  # funds others
    for spec in ("network", "tutorial"):
        open_faucet(make_node(SPEC=spec)).post("/faucet", {"address": NOBODY}).refused(404, "no_faucet")
    exposed = make_node(SPEC="dev", HOST="0.0.0.0", UNSAFE_DEVELOPMENT="true")
    open_faucet(exposed).post("/faucet", {"address": NOBODY}).refused(404, "no_faucet")
    assert b'id="faucet-form"' not in open_faucet(make_node()).get("/send").body


def test_the_page_has_its_form(node: Node) -> None:
    assert b'id="faucet-form"' in open_faucet(node).get("/send").body
