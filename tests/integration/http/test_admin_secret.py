"""Secrets and hosts: an empty secret makes no one admin, and probes are answered whatever their Host header says."""

import base64

import pytest

from api.access import is_same_secret
from api.app import create_app
from tests.support.http import Client, FlaskDoor
from tests.support.keys import TOKEN
from tests.support.nodes import MakeNode


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"x:{password}".encode()).decode()


@pytest.mark.parametrize("token", ["", " ", "\n", "\N{ZERO WIDTH NO-BREAK SPACE}", None])
@pytest.mark.parametrize("given", ["", " ", "\n", "x"])
def test_an_empty_secret_lets_nobody_in(make_node: MakeNode, token: str | None, given: str) -> None:
    client = Client(FlaskDoor(create_app(make_node(), token)))
    for authorization in (
        basic(given),
        f"Bearer {given.strip()}",
        "Bearer",
        "Basic",
        basic("").rstrip("="),
        "Digest x=y",
    ):
        for path in ("/rq/", "/rounds/" + "0" * 32):
            answer = client.door.call("DELETE" if "rounds" in path else "GET", path, None, Authorization=authorization)
            answer.refused(401, "admin_token_required")


def test_secrets_are_the_same_or_not() -> None:
    assert is_same_secret(TOKEN, TOKEN)
    for given in (TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "", None, "\udcff"):
        assert not is_same_secret(given, TOKEN)
    for empty in ("", " ", "\t\n"):
        assert not is_same_secret(empty, empty) and not is_same_secret("", empty)


@pytest.mark.parametrize("hosts", ["node.example", ""])
@pytest.mark.parametrize("bind", ["0.0.0.0", "127.0.0.1"])
def test_probes_are_answered_whatever_they_call_us(make_node: MakeNode, bind: str, hosts: str) -> None:
    node = make_node(HOST=bind, ALLOWED_HOSTS=hosts, UNSAFE_DEVELOPMENT="true")
    client = Client(FlaskDoor(create_app(node, TOKEN)))
    for host in ("10.1.2.3:5000", "10.1.2.3", "pod-7.internal", "node.example", "localhost"):
        for path in ("/healthz", "/readyz"):
            assert client.get(path, Host=host).status == 200, (host, path)
    closed = client.get("/status", Host="evil.example")
    if bind == "127.0.0.1" or hosts:
        closed.refused(403, "host_refused")
        client.get("/healthz/../status", Host="evil.example").refused(403, "host_refused")
    else:
        closed.ok()


def test_a_node_answers_for_the_address_that_it_was_told_to_bind(make_node: MakeNode) -> None:
    node = make_node(HOST="10.1.2.3", ALLOWED_HOSTS="Node.Example", UNSAFE_DEVELOPMENT="true")
    client = Client(FlaskDoor(create_app(node, TOKEN)))
    for host in ("10.1.2.3:5000", "node.example", "NODE.example:80"):
        client.get("/status", Host=host).ok()
    client.get("/status", Host="10.1.2.4:5000").refused(403, "host_refused")
