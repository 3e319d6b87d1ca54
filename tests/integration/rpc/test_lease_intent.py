"""What browsers send to `/leases` is judged at the door as at the API; the API's page /join may mine there."""

import pytest

from api.app import create_app
from services.node import Node
from tests.support.browsers import ASKED, UNASKED
from tests.support.door import RunningDoor
from tests.support.http import Answer, Client, FlaskDoor, Json
from tests.support.keys import TOKEN
from tests.support.nodes import MakeNode

LEASE = {"name": "anna", "rate": 10_000}
INVITED = "https://invited.example"
# The port of the node's pages.
PAGE = "http://localhost:5055"
# Where the port of its pages is published, if under another number.
PUBLISHED = "http://localhost:5057"


@pytest.fixture
def node(make_node: MakeNode) -> Node:
    """Its round is open."""
    node = make_node(spec={"difficulty": 5000}, PORT="5055", CORS_ORIGINS=f"{INVITED},{PUBLISHED}")
    node.requests.ask()
    return node


def both(node: Node, door: RunningDoor, path: str, body: object, headers: Json) -> tuple[Answer, Answer]:
    """The answers of door and API."""
    api = Client(FlaskDoor(create_app(node, TOKEN)))
    given = {"Host": "localhost", **headers}
    return door.client.post(path, body, **given), api.post(path, body, **given)


@pytest.mark.parametrize("name", UNASKED)
def test_both_refuse_what_nobody_asked_for(node: Node, door: RunningDoor, voucher: dict[str, str], name: str) -> None:
    lease = door.client.post("/leases", LEASE, **voucher).ok()["lease"]
    for path, body in (("/leases", LEASE), (f"/leases/{lease}", {"shares": [], "hashes": 1})):
        here, there = both(node, door, path, body, UNASKED[name] | voucher)
        assert (here.status, here.json) == (there.status, there.json) and here.status == 403, (path, here.body)
    [miner] = node.leases.miners(9)
    assert miner.reported == 0


@pytest.mark.parametrize("name", ASKED)
def test_both_answer_programs_and_their_own_pages(
    node: Node, door: RunningDoor, voucher: dict[str, str], name: str
) -> None:
    for answer in both(node, door, "/leases", LEASE, ASKED[name] | voucher):
        assert answer.status == 200, answer.body
    for answer in both(node, door, "/leases", LEASE, {"Origin": INVITED, "Sec_Fetch_Site": "cross-site"} | voucher):
        assert answer.status == 200, answer.body


@pytest.mark.parametrize("origin", [PAGE, PUBLISHED])
def test_the_page_join_may_ask_at_the_door(door: RunningDoor, voucher: dict[str, str], origin: str) -> None:
    said = {"Host": f"localhost:{door.port}", "Origin": origin, "Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "cors"}
    asks = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "authorization,content-type"}
    for path in ("/leases", f"/leases/{'0' * 32}"):
        allowed = door.client.door.call("OPTIONS", path, None, **said, **asks)
        assert (allowed.status, allowed.headers["access-control-allow-origin"]) == (204, "*")
        assert allowed.headers["access-control-allow-headers"] == "content-type, authorization"
    answer = door.client.post("/leases", LEASE, **said, **voucher)
    assert answer.ok()["height"] == 2 and answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    "origin", ["http://localhost:5056", "http://evil.example:5055", "https://evil.example", "null"]
)
def test_pages_of_other_sites_may_not(door: RunningDoor, voucher: dict[str, str], origin: str) -> None:
    said = {"Host": f"localhost:{door.port}", "Origin": origin}
    door.client.door.call("OPTIONS", "/leases", None, **said).refused(403, "cross_site")
    door.client.post("/leases", LEASE, **said, **voucher).refused(403, "cross_site")
