"""The router between nodes that somebody else started, and its controls."""

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from lab.cli import lab
from lab.interface import LabError
from lab.real.network import RoutedNetwork, create_network_app
from lab.real.router import Router
from services.launch.failures import LaunchFailed
from services.launch.peer_router import PeerRouter
from services.system.programs import module_command
from tests.support.raw_server import Connection, RawServer, response
from tests.support.waiting import eventually


def greet(peer: Connection) -> None:
    peer.send(response(b"hello"))


@pytest.fixture
def servers() -> Iterator[list[RawServer]]:
    with RawServer(greet) as first, RawServer(greet) as second, RawServer(greet) as third:
        yield [first, second, third]


@pytest.fixture
def urls(servers: list[RawServer]) -> list[str]:
    return [f"http://127.0.0.1:{server.port}" for server in servers]


@pytest.fixture
def network(urls: list[str]) -> Iterator[RoutedNetwork]:
    with Router() as router:
        yield RoutedNetwork(router, urls, [0, 0, 0])


@pytest.fixture
def client(network: RoutedNetwork) -> Any:
    return create_network_app(network).test_client()


def reaches(proxy: str, url: str) -> bool:
    """Whether a node that uses this proxy gets an answer from a peer."""
    with closing(HTTPConnection(proxy.removeprefix("http://"), timeout=10)) as connection:
        try:
            connection.request("GET", f"{url}/", headers={"Connection": "close"})
            return connection.getresponse().status == 200
        except OSError:
            return False


def connected(network: RoutedNetwork) -> set[tuple[int, int]]:
    return {
        (a.number, b.number) for a in network.nodes for b in network.nodes if a is not b and reaches(a.proxy, b.url)
    }


ALL = {(1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (3, 2)}


def test_a_network_is_parted_and_healed(client: Any, network: RoutedNetwork) -> None:
    assert connected(network) == ALL
    assert client.post("/control", json={"call": "partition", "groups": [[1], [2, 3]]}).status_code == 200
    assert connected(network) == {(2, 3), (3, 2)}
    assert client.get("/").json["groups"] == [[1], [2, 3]]
    assert client.post("/control", json={"call": "partition", "groups": [[3]]}).status_code == 200
    assert connected(network) == {(1, 2), (2, 1)}, "nodes that are in no group are one of their own"
    assert client.post("/control", json={"call": "heal"}).status_code == 200
    assert connected(network) == ALL
    assert client.get("/").json["groups"] == [[1, 2, 3]]


def test_one_link_is_changed_alone(client: Any, network: RoutedNetwork) -> None:
    client.post("/control", json={"call": "link", "from": 1, "to": 2, "latency": 0.01, "cut": True})
    links = {(link["from"], link["to"]): link for link in client.get("/").json["links"]}
    assert links.keys() == ALL
    assert (links[1, 2]["cut"], links[1, 2]["latency"]) == (True, 0.01)
    assert (links[2, 1]["cut"], links[2, 1]["latency"]) == (False, 0)
    client.post("/control", json={"call": "partition", "groups": [[1, 2], [3]]})
    client.post("/control", json={"call": "partition", "groups": [[1, 2, 3], []]})
    links = {(link["from"], link["to"]): link for link in client.get("/").json["links"]}
    assert [ends for ends, link in links.items() if link["cut"]] == [(1, 2)], "it was cut alone, and stays cut"
    client.post("/control", json={"call": "link", "from": 1, "to": 2, "cut": False})
    assert connected(network) == ALL


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"call": "partition", "groups": [[4]]}, "no node 4"),
        ({"call": "partition", "groups": [[1], [1]]}, "one group"),
        ({"call": "partition", "groups": 1}, "list of lists"),
        ({"call": "link", "from": 9, "to": 1, "cut": True}, "no node 9"),
        ({"call": "link", "from": 1, "to": 2, "latency": -1}, "latency is a number"),
        ({"call": "kill", "node": 1}, "no control 'kill'"),
        ({}, "call"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(client: Any, asked: Any, said: str) -> None:
    before = client.get("/").json
    answer = client.post("/control", json=asked)
    assert answer.status_code == 409 and said in answer.json["detail"]
    assert client.get("/").json == before


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}])
def test_another_site_or_machine_does_not_part_nodes(client: Any, headers: dict[str, str]) -> None:
    answer = client.post("/control", json={"call": "partition", "groups": [[1], [2, 3]]}, headers=headers)
    assert answer.status_code == 403
    assert client.get("/").json["groups"] == [[1, 2, 3]]


@pytest.mark.parametrize("url", ["nonsense", "http://192.0.2.1:5000", "http://127.0.0.1", "https://[", "http://h:x"])
def test_a_place_that_is_no_node_of_this_machine_is_refused(url: str) -> None:
    with Router() as router, pytest.raises(LabError, match=r"no URL of a node|is on this machine"):
        RoutedNetwork(router, [url], [0])


def test_a_port_that_is_taken_is_said(urls: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, Router() as router:
        port = other.getsockname()[1]
        with pytest.raises(LabError, match=f"The port {port} is not free"):
            RoutedNetwork(router, urls, [0, port, 0])


def test_the_command_says_where_it_is_and_ends_in_order(urls: list[str]) -> None:
    command = module_command("lab", "router", "--json", *urls[:2])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        record = json.loads(process.stdout.readline())
        assert [(node["number"], node["url"]) for node in record["nodes"]] == [(1, urls[0]), (2, urls[1])]
        assert reaches(record["nodes"][0]["proxy"], urls[1])
        with urllib.request.urlopen(record["url"], timeout=10) as answer:
            assert json.loads(answer.read())["groups"] == [[1, 2]]
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_proxies_are_named_for_every_node_or_for_none(urls: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        lab.main(["router", "--proxy", "1", *urls], prog_name="quarry lab")
    assert ended.value.code == 2 and "once for each, or never" in capsys.readouterr().err


def test_a_router_that_was_killed_is_back_at_its_ports(urls: list[str], tmp_path: Path) -> None:
    router = PeerRouter(tmp_path / "links.log")
    try:
        proxies = router.start(urls)
        assert all(reaches(proxy, urls[0]) for proxy in proxies)
        [first] = router._supervisor.programs
        assert first.pid is not None
        subprocess.run(["kill", "-9", str(first.pid)], check=True)

        def back() -> bool:
            router.tick()
            return router._supervisor.programs[0].restarts == 1 and reaches(proxies[1], urls[0])

        eventually(back)
    finally:
        router.stop()
    assert not reaches(proxies[0], urls[0])


def test_a_router_that_does_not_start_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "services.launch.peer_router.module_command", lambda *_: [sys.executable, "-c", "raise SystemExit('no memory')"]
    )
    router = PeerRouter(tmp_path / "links.log")
    try:
        with pytest.raises(LaunchFailed, match="did not start: no memory"):
            router.start(["http://127.0.0.1:1"])
    finally:
        router.stop()
