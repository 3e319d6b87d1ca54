"""What payouts have paid, over HTTP."""

from services.node import Node
from tests.support.http import Client
from tests.support.keys import ALICE, BOB, CAROL
from tests.support.payees import paid_miner

NOTHING = {"paid": "0", "planned": "0", "payments": 0, "since": None, "block": None, "transaction": None}
NONE = {"waiting": 0, "paid": 0, "nothing": 0, "detached": 0, "forgotten": 0, "payees": []}


def test_the_addresses_that_were_paid_and_one_of_them(client: Client, node: Node) -> None:
    assert client.get("/payouts").ok() == NONE
    payment = "ab" * 32
    with paid_miner(node, BOB.address, payment) as block:
        shown = {
            "address": BOB.address, "paid": "2.5", "planned": "1", "payments": 3, "since": 1, "block": block,
            "transaction": payment,
        }  # fmt: skip
        assert client.get(f"/payouts/{BOB.address}").ok() == shown
        assert client.get(f"/payouts/{BOB.address.lower()}").ok() == shown
        assert client.get("/payouts").ok() == {**NONE, "waiting": 1, "payees": [shown]}
        assert client.get(f"/payouts/{CAROL.address}").ok() == {"address": CAROL.address, **NOTHING}
    assert client.get("/payouts").ok() == NONE


def test_what_is_no_address_is_refused(client: Client) -> None:
    client.get("/payouts/0x12").refused(400, "bad_address")
    client.get(f"/payouts/{ALICE.address.swapcase().replace('X', 'x')}").refused(400, "bad_checksum")
