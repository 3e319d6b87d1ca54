"""QUARRY_CORS_ORIGINS: which pages may read the HTTP API, and that no page gets the admin's endpoints."""

import ast

import pytest

from api import cors
from api.app import create_app
from services.node import Node
from services.system.programs import ROOT
from tests.support.http import Answer, Client, FlaskDoor
from tests.support.keys import TOKEN
from tests.support.nodes import MakeNode

PAGE = "https://explorer.example"
OTHER = "https://other.example"
CLOSED = [("POST", "/nodes/register"), ("POST", "/miner/register")]


@pytest.fixture
def client(make_node: MakeNode) -> Client:
    return Client(FlaskDoor(create_app(make_node(CORS_ORIGINS=f"{PAGE}, http://localhost:3000"), TOKEN)))


def preflight(client: Client, path: str, method: str = "POST", origin: str = PAGE) -> Answer:
    return client.door.call(
        "OPTIONS", path, None,
        Origin=origin, Access_Control_Request_Method=method, Access_Control_Request_Headers="content-type",
    )  # fmt: skip


def given_away(answer: Answer) -> set[str]:
    return {name for name in answer.headers if name.startswith("access-control-")}


@pytest.mark.parametrize(
    "path", ["/status", "/chain", "/blocks/1", "/mempool", "/openapi.json", "/", "/events", "/healthz"]
)
@pytest.mark.parametrize("origin", [PAGE, "http://localhost:3000"])
def test_a_page_that_is_named_may_read(client: Client, path: str, origin: str) -> None:
    answer = client.door.call("HEAD" if path == "/events" else "GET", path, None, Origin=origin)
    assert answer.headers["access-control-allow-origin"] == origin
    assert "Origin" in answer.headers["vary"]
    assert "access-control-allow-credentials" not in answer.headers


def test_it_may_read_refusals_too(client: Client) -> None:
    for answer in (client.get("/blocks/99", Origin=PAGE), client.get("/nowhere", Origin=PAGE)):
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (404, PAGE)
    answer = client.post("/transactions/new", {}, Origin=PAGE)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (422, PAGE)


@pytest.mark.parametrize(
    "origin", [OTHER, "null", PAGE + ".evil.example", PAGE.upper(), "http://explorer.example", "", "*"]
)
def test_no_other_page_may(client: Client, origin: str) -> None:
    answer = client.get("/status", Origin=origin)
    assert answer.status == 200, "the answer is the same; the browser keeps it from the page"
    assert not given_away(answer)
    assert "Origin" in answer.headers["vary"], "or a cache gives this answer to the page that may"
    assert not given_away(preflight(client, "/transactions/new", origin=origin))


def test_without_an_origin_answers_vary_all_the_same(client: Client) -> None:
    answer = client.get("/status")
    assert "Origin" in answer.headers["vary"] and not given_away(answer)


def test_a_preflight_is_answered(client: Client) -> None:
    answer = preflight(client, "/transactions/new")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["access-control-allow-methods"] == "GET, POST"
    assert answer.headers["access-control-allow-headers"] == "content-type"
    assert "Origin" in answer.headers["vary"]
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path"), [*CLOSED, ("DELETE", "/nodes"), ("DELETE", "/rounds/" + "0" * 32), ("DELETE", "/jobs")]
)
def test_what_is_the_admins_stays_closed(client: Client, method: str, path: str) -> None:
    assert not given_away(preflight(client, path, method))
    answer = client.door.call(method, path, None, Origin=PAGE, Sec_Fetch_Site="cross-site")
    assert answer.status >= 400
    assert not given_away(answer)
    with_token = client.door.call(
        method, path, None, Origin=PAGE, Authorization=f"Bearer {TOKEN}", Sec_Fetch_Site="cross-site"
    )
    assert not given_away(with_token)


def test_the_dashboard_stays_closed(client: Client) -> None:
    for answer in (client.get("/rq/", Origin=PAGE, Authorization=f"Bearer {TOKEN}"), preflight(client, "/rq/", "GET")):
        assert not given_away(answer)


def test_rpc_is_open_to_all_as_before(client: Client) -> None:
    request = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}
    for origin in (PAGE, OTHER):
        for _ in range(2):  # the first goes through Flask, the next by the door in front of it
            answer = client.post("/rpc", request, Origin=origin)
            assert answer.headers["access-control-allow-origin"] == "*"
        assert preflight(client, "/rpc", origin=origin).headers["access-control-allow-origin"] == "*"


def test_the_host_is_looked_at_first(client: Client) -> None:
    client.get("/status", Origin=PAGE, Host="evil.example").refused(403, "host_refused")


def test_without_the_setting_nothing_is_added(node: Node) -> None:
    client = Client(FlaskDoor(create_app(node, TOKEN)))
    answer = client.get("/status", Origin=PAGE)
    assert not given_away(answer) and "vary" not in answer.headers
    assert not given_away(preflight(client, "/transactions/new"))


def test_which_views_need_the_token_and_which_are_open_to_this_machine() -> None:
    """A new view that needs the token must be added to `cors.ADMIN`; one that is open to this machine, to this test."""
    callers: dict[str, set[str]] = {"require_admin": set(), "require_this_machine": set()}
    for path in (ROOT / "api").rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(function, ast.FunctionDef) and path.stem not in ("access", "dashboard"):
                for node in ast.walk(function):
                    if isinstance(node, ast.Attribute) and node.attr in callers:
                        callers[node.attr].add(f"{path.stem}.{function.name}")
    assert callers["require_admin"] == cors.ADMIN
    # Without `peers.register`, which the tutorial's rules open to this machine, but not to pages.
    assert callers["require_this_machine"] - cors.ADMIN == {"mining.mine", "mining.cancel_job", "faucet.faucet"}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_page_that_is_named_may_do_what_this_machine_may(client: Client, method: str) -> None:
    """It asks from a browser on this machine, on a loopback bind. From elsewhere, it would need the token."""
    page = {"Origin": PAGE, "Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "cors", "Sec_Fetch_Dest": "empty"}
    answer = client.door.call(method, "/mine?wait=0", None, **page)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (202, PAGE)
    for elsewhere in ({"Host": "node.example"}, {"X_Forwarded_For": "192.0.2.1"}):
        answer = client.door.call(method, "/mine?wait=0", None, **page, **elsewhere)
        assert answer.status in (401, 403)
