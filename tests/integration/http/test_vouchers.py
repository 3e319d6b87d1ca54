"""Vouchers over HTTP and on the command line: who may make them, and what is refused."""

import json
from typing import Any

import pytest

from services.node import Node
from tests.support.http import Answer, Client
from tests.support.keys import TOKEN

BEARER = {"Authorization": f"Bearer {TOKEN}"}


def call(client: Client, method: str, value: Any, **headers: str) -> Answer:
    return client.door.call(
        method, "/vouchers", json.dumps(value).encode(), Content_Type="application/json", **BEARER | headers
    )


def test_a_voucher_is_made_listed_and_revoked(client: Client, node: Node) -> None:
    made = call(client, "POST", {"name": "Anna"}).ok(201)
    assert set(made) == {"name", "voucher"} and made["name"] == "Anna"
    joined = call(client, "POST", {"name": "class", "join": True}).ok(201)
    assert set(joined) == {"name", "voucher", "join"}
    listed = client.get("/vouchers", **BEARER).ok()["vouchers"]
    assert [(item["name"], item["join"], item["miners"]) for item in listed] == [("Anna", False, 0), ("class", True, 0)]
    assert made["voucher"] not in json.dumps(listed) and joined["join"] not in json.dumps(listed)
    assert call(client, "DELETE", {"name": "anna"}).ok() == {"name": "anna"}
    call(client, "DELETE", {"name": "anna"}).refused(404, "unknown_name")


def test_only_the_admin_may(client: Client) -> None:
    secret = call(client, "POST", {"name": "anna"}).ok(201)["voucher"]
    for authorization in ("", "Bearer nothing", f"Bearer {secret}"):
        call(client, "POST", {"name": "ben"}, Authorization=authorization).refused(401, "admin_token_required")
        call(client, "DELETE", {"name": "anna"}, Authorization=authorization).refused(401, "admin_token_required")
        client.get("/vouchers", Authorization=authorization).refused(401, "admin_token_required")


@pytest.mark.parametrize(
    "body, status, code",
    [
        ([], 400, "not_an_object"),
        ({}, 422, "wrong_fields"),
        ({"name": "a", "more": 1}, 422, "wrong_fields"),
        ({"name": "a", "join": "yes"}, 422, "wrong_fields"),
        ({"name": ""}, 400, "bad_name"),
        ({"name": "x" * 41}, 400, "bad_name"),
        ({"name": 7}, 400, "bad_name"),
        ({"name": "a\u202eb"}, 400, "bad_name"),
        ({"name": "taken"}, 400, "name_taken"),
    ],
)
def test_bad_vouchers(client: Client, body: Any, status: int, code: str) -> None:
    call(client, "POST", {"name": "Taken"}).ok(201)
    call(client, "POST", body).refused(status, code)
    assert len(client.get("/vouchers", **BEARER).ok()["vouchers"]) == 1
    if status == 422:
        call(client, "DELETE", body).refused(422, "wrong_fields")
