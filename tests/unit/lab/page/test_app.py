"""The page of a lab that runs is for this machine and for its own page only."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest

from lab.interface import LabError
from lab.page.app import MOST_STREAMS, Feed, create_app, serving_page
from lab.page.controls import Controls
from lab.page.serving import MAX_BODY, MOST_REQUESTS
from lab.recording import Event
from tests.support.fake_lab import FakeLab
from tests.support.recordings import recorded


@pytest.fixture
def lab() -> FakeLab:
    return FakeLab()


@pytest.fixture
def feed() -> Feed:
    return Feed()


@pytest.fixture
def client(lab: FakeLab, feed: Feed) -> Any:
    return create_app(Controls(lab, {}), feed, {1: "http://127.0.0.1:5000"}).test_client()


@pytest.fixture
def address(lab: FakeLab, feed: Feed) -> Iterator[str]:
    with serving_page(create_app(Controls(lab, {}), feed, {}), feed) as url:
        yield urlsplit(url).netloc


def ask(address: str, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_the_page_loads_only_its_own_files(client: Any) -> None:
    page = client.get("/")
    assert page.status_code == 200 and "default-src 'self'" in page.headers["Content-Security-Policy"]
    for name in (
        "live.js",
        "player.js",
        "history.js",
        "drawing.js",
        "lab.css",
        "explorer.css",
        "theme.js",
        "quarry.svg",
    ):
        with client.get(f"/static/{name}") as answer:
            assert answer.status_code == 200, name
    for name in ("..%2fapp.py", "%2e%2e/app.py", "nothing.js", "../exporting.py"):
        assert client.get(f"/static/{name}").status_code == 404, name


def test_a_control_acts_and_a_refusal_is_said(client: Any, lab: FakeLab) -> None:
    assert client.post("/control", json={"call": "kill", "node": 2}).status_code == 200
    assert lab.calls == [("kill", 2)]
    refused = client.post("/control", json={"call": "kill", "node": 20})
    assert (refused.status_code, refused.json["detail"]) == (409, "There is no node 20: the lab has 4.")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "192.168.1.5:80"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Host": "localhost", "Origin": "http://localhost"}, 200),
        ({"Host": "[::1]:8080", "Origin": "http://[::1]:8080", "Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
def test_other_machines_and_other_sites_are_refused(client: Any, lab: FakeLab, headers: Any, status: int) -> None:
    assert client.post("/control", json={"call": "heal"}, headers=headers).status_code == status
    assert client.get("/", headers=headers).status_code == status
    assert lab.calls == ([("heal",)] if status == 200 else [])


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[" * 50_000, "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"", "application/json", 400),
        (b"call=heal", "application/x-www-form-urlencoded", 415),
        (b'{"call": "heal"}', "text/plain", 415),
        (b'"' + b"x" * MAX_BODY + b'"', "application/json", 413),
        (b"null", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"call": "stop", "node": 1e400}', "application/json", 400),
    ],
)
def test_garbage_is_refused_and_does_nothing(client: Any, lab: FakeLab, body: bytes, kind: str, status: int) -> None:
    answer = client.post("/control", data=body, content_type=kind)
    assert answer.status_code == status and answer.json["detail"] and lab.calls == []


def test_an_exercise_is_checked_against_what_happened(client: Any, feed: Feed) -> None:
    answer = client.post("/exercises/fork", json={"choice": 1})
    assert answer.status_code == 200 and answer.json["done"] is False and "no fork yet" in answer.json["said"]
    for event in recorded(blocks=30):
        feed.add(event)
    assert client.post("/exercises/fork", json={"choice": 1}).json["done"] is True
    assert client.post("/exercises/none", json={}).status_code == 404
    for wrong in ("1", 1.5, True, []):
        assert client.post("/exercises/fork", json={"choice": wrong}).status_code == 400
    assert client.post("/exercises/fork", json=[1]).status_code == 400


def test_a_reader_gets_what_happened_before_and_what_happens(address: str, feed: Feed) -> None:
    feed.add(Event(0.0, "said", {"text": "before"}))
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.request("GET", "/events", headers={"Last-Event-ID": "nonsense"})
    response = connection.getresponse()
    assert response.readline() == b"id: 0\n"
    assert json.loads(response.readline().removeprefix(b"data: "))["text"] == "before"
    response.readline()
    feed.add(Event(1.0, "said", {"text": "now"}))
    assert response.readline() == b"id: 1\n" and b"now" in response.readline()
    connection.close()
    again = http.client.HTTPConnection(address, timeout=10)
    again.request("GET", "/events", headers={"Last-Event-ID": "0"})
    with again.getresponse() as response:
        assert response.readline() == b"id: 1\n"
    again.close()


def test_streams_are_bounded_and_the_page_stays(address: str, feed: Feed) -> None:
    feed.add(Event(0.0, "said", {"text": "x"}))
    with ExitStack() as stack:
        for _ in range(MOST_STREAMS):
            connection = http.client.HTTPConnection(address, timeout=10)
            stack.callback(connection.close)
            connection.request("GET", "/events")
            response = stack.enter_context(connection.getresponse())  # held: its end closes the stream
            assert response.status == 200
        status, body = ask(address, "GET", "/events")
        assert status == 503 and b"close one" in body
        assert ask(address, "GET", "/")[0] == 200


def test_three_hundred_at_once_are_answered_or_refused(address: str) -> None:
    statuses: list[int] = []

    def one() -> None:
        statuses.append(ask(address, "GET", "/static/lab.css")[0])

    threads = [threading.Thread(target=one) for _ in range(300)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(statuses) == 300 and set(statuses) <= {200, 503} and 200 in statuses
    assert MOST_REQUESTS > MOST_STREAMS
    assert ask(address, "GET", "/")[0] == 200


def test_other_addresses_of_this_machine_do_not_reach_the_page(address: str) -> None:
    """What other machines would connect to: the page is bound to one address."""
    port = int(address.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.2", port), timeout=5):
        pass


def test_a_port_that_is_taken_is_said(address: str, lab: FakeLab, feed: Feed) -> None:
    port = int(address.rpartition(":")[2])
    with pytest.raises(LabError, match=f"The port {port} is taken"):
        with serving_page(create_app(Controls(lab, {}), Feed(), {}), Feed(), port):
            pass
