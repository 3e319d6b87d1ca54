"""Named admin tokens: what each may do, what is refused, and what the audit log says."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from api.app import create_app
from services.node import Node
from services.operators.tokens import MOST_OF_STRANGERS, MOST_TOKENS, SCOPES
from services.store.tokens import MOST_REFUSED
from services.system.allowance import Allowance
from tests.support.http import Answer, Client, FlaskDoor
from tests.support.keys import TOKEN
from tests.support.nodes import MakeNode, mine, redis_of
from tests.support.said import listen
from tests.support.waiting import eventually

ADMIN = {"Authorization": f"Bearer {TOKEN}"}
PEER = "http://127.0.0.1:9"
# What each scope is for: method, path, body; all of them are refused without it.
DOORS: dict[str, list[tuple[str, str, Any]]] = {
    "peers": [("POST", "/nodes/register", {"nodes": [PEER]}), ("DELETE", "/nodes", {"nodes": [PEER]})],
    "mine": [("POST", "/mining/limit", {"hash_rate_limit": "2M"}), ("DELETE", "/mining/limit", None)],
    "jobs": [("DELETE", "/jobs", None), ("GET", "/rq/", None)],
}
OF_THE_ADMIN: list[tuple[str, str, Any]] = [
    ("GET", "/tokens", None), ("POST", "/tokens", {"name": "eve", "scopes": ["mine"]}),
    ("DELETE", "/tokens", {"name": "anna"}), ("GET", "/audit", None),
    ("POST", "/names", {"address": "0x" + "00" * 19 + "01", "name": "eve"}),
]  # fmt: skip


def call(client: Client, door: tuple[str, str, Any], **headers: str) -> Answer:
    method, path, value = door
    body = None if value is None else json.dumps(value).encode()
    kind = {} if value is None else {"Content_Type": "application/json"}
    return client.door.call(method, path, body, **{**kind, **headers})


def made(client: Client, name: str, *scopes: str) -> dict[str, str]:
    """The headers of a new token."""
    answer = client.post("/tokens", {"name": name, "scopes": list(scopes)}, **ADMIN).ok(201)
    return {"Authorization": f"Bearer {answer['token']}"}


def acts(client: Client) -> list[tuple[str, str, int]]:
    return [(act["who"], act["what"], act["status"]) for act in client.get("/audit", **ADMIN).ok()["acts"]]


@pytest.mark.parametrize("scope", SCOPES)
def test_a_token_may_do_what_its_scope_says_and_nothing_else(node: Node, client: Client, scope: str) -> None:
    headers = made(client, "anna", scope)
    for of, doors in DOORS.items():
        for door in doors:
            answer = call(client, door, **headers)
            if of == scope:
                assert answer.status in (200, 201), (door, answer.body[:200])
            else:
                assert answer.status == 403 and b"scope_missing" in answer.body, (door, answer.body[:200])
    for door in OF_THE_ADMIN:
        call(client, door, **headers).refused(403, "scope_missing")
    assert [item["name"] for item in client.get("/tokens", **ADMIN).ok()["tokens"]] == ["anna"]


def test_a_token_mines_from_another_machine_as_the_admin_does(make_node: MakeNode) -> None:
    node = make_node(HOST="0.0.0.0", UNSAFE_DEVELOPMENT="true")
    client = Client(FlaskDoor(create_app(node, TOKEN)))
    assert call(client, ("POST", "/mine?wait=0", None)).status == 401
    assert call(client, ("POST", "/mine?wait=0", None), **made(client, "peter", "peers")).status == 403
    assert call(client, ("POST", "/mine?wait=0", None), **made(client, "anna", "mine")).status == 202
    assert [who for who, what, status in acts(client) if (what, status) == ("POST /mine", 202)] == ["anna"]


def test_the_secret_is_shown_once_and_stored_as_a_digest(node: Node, client: Client) -> None:
    secret = made(client, "anna", "mine", "peers")["Authorization"].removeprefix("Bearer ")
    listed = client.get("/tokens", **ADMIN)
    assert listed.ok()["tokens"][0]["scopes"] == ["peers", "mine"] and secret.encode() not in listed.body
    redis: Any = redis_of(node)
    for key in redis.keys("*"):
        assert secret.encode() not in redis.dump(key)


def test_a_revoked_token_is_refused_at_once(client: Client) -> None:
    headers = made(client, "Anna", "jobs")
    assert call(client, ("DELETE", "/jobs", None), **headers).status == 200
    assert call(client, ("DELETE", "/tokens", {"name": "ANNA"}), **ADMIN).ok() == {"name": "ANNA"}
    call(client, ("DELETE", "/jobs", None), **headers).refused(401, "admin_token_required")
    call(client, ("DELETE", "/tokens", {"name": "anna"}), **ADMIN).refused(404, "unknown_name")
    made(client, "anna", "jobs")  # the name is free again
    call(client, ("DELETE", "/jobs", None), **headers).refused(401, "admin_token_required")


def test_a_token_that_is_revoked_in_the_middle_of_a_request_ends_with_it(make_node: MakeNode) -> None:
    """What was let in runs to its end, and is written down by the name that it was let in with."""
    node = make_node(HOST="0.0.0.0", UNSAFE_DEVELOPMENT="true")
    client = Client(FlaskDoor(create_app(node, TOKEN)))
    headers = made(client, "anna", "mine")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(call, client, ("POST", "/mine?wait=30", None), **headers)
        eventually(lambda: node.mining.situation().requests, what="the mining request")
        assert call(client, ("DELETE", "/tokens", {"name": "anna"}), **ADMIN).status == 200
        call(client, ("POST", "/mine?wait=0", None), **headers).refused(401, "admin_token_required")
        assert node.mining.situation().requests == 1
        block = mine(node)
        assert waiting.result(30).ok()["hash"] == block.hash
    assert [who for who, what, status in acts(client) if (what, status) == ("POST /mine", 200)] == ["anna"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"name": "", "scopes": ["mine"]}, "bad_name"),
        ({"name": 1, "scopes": ["mine"]}, "bad_name"),
        ({"name": "admin", "scopes": ["mine"]}, "bad_name"),
        ({"name": "x" * 41, "scopes": ["mine"]}, "bad_name"),
        ({"name": "anna", "scopes": []}, "bad_scopes"),
        ({"name": "anna", "scopes": "mine"}, "bad_scopes"),
        ({"name": "anna", "scopes": ["all"]}, "bad_scopes"),
        ({"name": "anna", "scopes": [["mine"]]}, "bad_scopes"),
        ({"name": "anna"}, "wrong_fields"),
        ({"name": "anna", "scopes": ["mine"], "more": 1}, "wrong_fields"),
        ([], "not_an_object"),
    ],
)
def test_a_token_that_cannot_be_is_refused(client: Client, body: Any, code: str) -> None:
    client.post("/tokens", body, **ADMIN).refused(422 if code == "wrong_fields" else 400, code)
    assert client.get("/tokens", **ADMIN).ok() == {"tokens": []}


def test_names_are_taken_once_and_tokens_are_bounded(node: Node, client: Client) -> None:
    made(client, "Anna", "mine")
    client.post("/tokens", {"name": "anna", "scopes": ["mine"]}, **ADMIN).refused(400, "name_taken")
    for number in range(MOST_TOKENS - 1):
        node.operators.new(f"robot {number}", ["mine"])
    client.post("/tokens", {"name": "one more", "scopes": ["mine"]}, **ADMIN).refused(400, "too_many_tokens")


def test_everything_done_with_a_token_and_every_refusal_is_written_down(client: Client) -> None:
    anna = made(client, "anna", "jobs")
    call(client, ("DELETE", "/jobs", None), **anna)
    call(client, ("POST", "/mining/limit", {"hash_rate_limit": "2M"}), **anna)
    call(client, ("DELETE", "/jobs", None), Authorization="Bearer qt_" + "0" * 32)
    call(client, ("DELETE", "/jobs", None))  # no token, so nobody's
    client.get("/status", **anna)
    assert acts(client) == [
        ("", "DELETE /jobs", 401),
        ("anna", "POST /mining/limit", 403),
        ("anna", "DELETE /jobs", 200),
        ("admin", "POST /tokens", 201),
    ]
    [first, *_] = client.get("/audit?limit=1", **ADMIN).ok()["acts"]
    assert first["where"] == "127.0.0.1" and first["at"] > 1e9
    client.get("/audit?limit=0", **ADMIN).refused(400, "bad_argument")


def test_strangers_cannot_push_out_what_was_done(node: Node, client: Client) -> None:
    anna = made(client, "anna", "jobs")
    call(client, ("DELETE", "/jobs", None), **anna)
    for _ in range(3 * MOST_REFUSED):
        node.operators.note("bob", "DELETE /jobs\n\x1b[2J", "10.0.0.1", 403)
    redis: Any = redis_of(node)
    assert redis.xlen(node.operators._store.keys.refused_acts) < 2 * MOST_REFUSED
    assert [act.who for act in node.operators.acts(100_000) if act.who != "bob"] == ["anna", "admin"]
    assert not any("\n" in act.what or "\x1b" in act.what for act in node.operators.acts(1000))


def test_of_three_hundred_strangers_a_few_are_written_down_and_the_rest_is_counted(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each entry is a write to the disk."""
    said, now = listen(monkeypatch, "services.operators.tokens._log"), [0.0]
    monkeypatch.setattr(node.operators, "_strangers", Allowance(MOST_OF_STRANGERS, lambda: now[0]))
    for _ in range(300):
        node.operators.note("", "DELETE /jobs", "10.0.0.1", 401)
    node.operators.note("anna", "DELETE /jobs", "10.0.0.1", 200)
    assert len(node.operators.acts(1000)) == MOST_OF_STRANGERS + 1
    now[0] = 1.0
    node.operators.note("", "DELETE /jobs", "10.0.0.1", 401)
    assert len(node.operators.acts(1000)) == MOST_OF_STRANGERS + 2
    assert [line.get("left_out") for line in said if "left_out" in line] == [300 - MOST_OF_STRANGERS]


@pytest.mark.parametrize(
    "secret", ["qt_", "qt_" + "0" * 31, "qt_" + "0" * 33, "x" * 35, "qt_" + "é" * 32, "qt_" + "\udcff" * 32]
)
def test_what_cannot_be_a_token_is_nobodys(node: Node, secret: str) -> None:
    assert node.operators.find(secret) is None


def test_a_node_without_an_admin_has_no_tokens_either(make_node: MakeNode) -> None:
    client = Client(FlaskDoor(create_app(make_node())))
    call(client, ("GET", "/tokens", None)).refused(401, "admin_token_required")
    call(client, ("GET", "/tokens", None), Authorization="Bearer x").refused(401, "admin_token_required")
