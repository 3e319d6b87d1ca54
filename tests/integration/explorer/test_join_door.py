"""The page /join/CODE names the node's `quarry rpc`, where a browser can reach it."""

import re

import pytest

from api.app import create_app
from api.headers import CONTENT_POLICY
from tests.support.http import Answer, Client, FlaskDoor
from tests.support.keys import TOKEN
from tests.support.nodes import MakeNode


def shown(make_node: MakeNode, host: str, rpc_port: str = "8555", **headers: str) -> tuple[str, Answer]:
    """The door that the page names, and the answer."""
    client = Client(FlaskDoor(create_app(make_node(RPC_PORT=rpc_port, ALLOWED_HOSTS="node.example"), TOKEN)))
    answer = client.get("/join/ABC", Host=host, **headers)
    assert answer.status == 200
    found = re.search(r'data-door="([^"]*)"', answer.body.decode())
    assert found is not None
    return found[1], answer


@pytest.mark.parametrize(
    ("host", "door"),
    [
        ("127.0.0.1:5000", "http://127.0.0.1:8555"),
        ("node.example", "http://node.example:8555"),
        ("[::1]:5000", "http://[::1]:8555"),
    ],
)
def test_it_is_on_the_host_of_the_page(make_node: MakeNode, host: str, door: str) -> None:
    named, answer = shown(make_node, host)
    assert named == door
    assert answer.headers["content-security-policy"] == f"{CONTENT_POLICY}; connect-src 'self' {door}"


@pytest.mark.parametrize(
    ("rpc_port", "headers"),
    [("0", {}), ("8555", {"X_Forwarded_For": "192.0.2.1"}), ("8555", {"X_Real_IP": "192.0.2.1"})],
)
def test_without_one_and_behind_a_proxy_the_page_asks_its_own_server(
    make_node: MakeNode, rpc_port: str, headers: dict[str, str]
) -> None:
    named, answer = shown(make_node, "node.example", rpc_port, **headers)
    assert (named, answer.headers["content-security-policy"]) == ("", CONTENT_POLICY)


def test_only_this_page_may_connect_elsewhere(make_node: MakeNode) -> None:
    client = Client(FlaskDoor(create_app(make_node(), TOKEN)))
    assert client.get("/miners").headers["content-security-policy"] == CONTENT_POLICY
