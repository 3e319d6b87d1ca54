"""`quarry up --nodes N`: a network on one machine, by one command."""

import json
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from api.cli import quarry as command
from tests.support.commands import done, get, launched
from tests.support.processes import linux_only, processes_of
from tests.support.waiting import eventually, seconds_until


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def network(home: Path) -> Iterator[list[str]]:
    """The URLs of three nodes that run together."""
    with launched(home, "--nodes", "3") as (process, ready):
        assert ready.keys() == {"nodes", "data_dir", "admin_token_file", "redis_url", "development_accounts"}
        assert [item["name"] for item in ready["nodes"]] == ["node1", "node2", "node3"]
        assert ready["admin_token_file"] == str(home / "dev" / "node1" / "admin-token")
        assert len({item["address"] for item in ready["nodes"]}) == 3
        yield [item["url"] for item in ready["nodes"]]
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
        assert (process.returncode, output) == (0, "")
    assert processes_of(home) == {}
    assert list(home.glob("dev/*/node.json")) == []


def statuses(network: list[str]) -> list[dict[str, Any]]:
    return [get(f"{url}/status") for url in network]


def seconds_until_all_have(network: list[str], tip: str) -> float:
    return seconds_until(lambda: {status["tip"] for status in statuses(network)} == {tip}, what="the same tip at all")


@linux_only
def test_each_node_has_all_others_as_peers_and_only_the_first_mines_unasked(network: list[str]) -> None:
    for url, status in zip(network, statuses(network), strict=True):
        assert {peer["url"] for peer in status["peers"]} == set(network) - {url}
        assert status["workers"] == {"mining": 1, "network": 1}
        assert status["automine"] == (url == network[0])


@linux_only
def test_what_one_mines_all_have_within_two_seconds(network: list[str], home: Path) -> None:
    took = []
    for url in (network[0], network[2], network[0], network[2], network[0]):
        [block] = done(home, "mine", "--url", url, "--wait", "30")
        took.append(seconds_until_all_have(network, block["hash"]))
    assert min(took) < 2, took  # the best of five, since the machine may be busy


@linux_only
def test_a_transaction_is_relayed_to_the_node_that_mines(network: list[str], home: Path) -> None:
    for url in network[:2]:  # one after the other, or both could find a block of the same height
        [mined] = done(home, "mine", "--url", url, "--wait", "30")
        seconds_until_all_have(network, mined["hash"])
    third = done(home, "wallet", "show", "node3")["address"]
    sent = done(home, "send", "--url", network[1], "--from", "node2", "--to", "node3", "0.5", "--wait")
    assert sent["status"] == "confirmed"
    for url in network:
        eventually(lambda url=url: (get(f"{url}/transactions/{sent['id']}") or {}).get("status") == "confirmed")
    assert (
        get(f"{network[0]}/blocks/{sent['block']}")["transactions"][0]["recipient"]
        == get(f"{network[0]}/status")["address"]
    )
    assert len({get(f"{url}/accounts/{third}")["balance"] for url in network}) == 1


@linux_only
def test_a_fork_of_one_is_followed_by_all(network: list[str], home: Path) -> None:
    old = [done(home, "mine", "--url", network[1], "--wait", "30")[0] for _ in range(2)]
    seconds_until_all_have(network, old[-1]["hash"])
    forked = done(home, "fork", "--url", network[2], "--depth", "2")
    assert forked["detached"] == [f"0x{block['hash']}" for block in old] and len(forked["attached"]) == 3
    seconds_until_all_have(network, forked["attached"][-1].removeprefix("0x"))
    heights = [get(f"{url}/status")["height"] for url in network]
    assert heights == [old[-1]["index"] + 1] * 3
    going_back = {"jsonrpc": "2.0", "id": 1, "method": "anvil_rollback", "params": []}
    request = urllib.request.Request(
        f"{network[0]}/rpc", json.dumps(going_back).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        refused = json.load(response)
    assert refused["error"]["code"] == -32000 and "This node has 2 peer" in refused["error"]["message"]


@linux_only
def test_peers_are_listed_removed_and_added(network: list[str], home: Path) -> None:
    first, second, third = network

    def listed() -> dict[str, str]:
        found = done(home, "peers", "list", "--url", third)["peers"]
        return {peer["url"]: peer["state"] for peer in found}

    eventually(lambda: listed() == {first: "ok", second: "ok"})
    assert done(home, "peers", "remove", second, "--url", third)["removed"] == 1
    assert listed().get(second) in (None, "candidate")  # the first may have told of it meanwhile
    assert done(home, "peers", "add", second, "--url", third)["peers"] == sorted([first, second])


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--nodes", "0"], "--nodes"),
        (["--nodes", "17"], "--nodes"),
        (["--nodes", "2", "--port", "65535"], "65535"),
        (["--nodes", "2", "--redis-url", "redis://127.0.0.1/0"], "--redis-url"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: list[str], word: str) -> None:
    result = CliRunner().invoke(command, ["up", *arguments])
    assert result.exit_code == 2
    assert word in result.stderr
    assert result.stderr.count("\n") == 1


@linux_only
def test_if_one_port_is_taken_nothing_is_started(network: list[str], tmp_path: Path) -> None:
    port = int(network[0].rpartition(":")[2])
    result = CliRunner().invoke(
        command, ["up", "--nodes", "2", "--port", str(port - 1), "--data-dir", str(tmp_path), "--json"]
    )
    assert result.exit_code == 2
    assert "in use" in json.dumps(result.stderr)
    assert processes_of(tmp_path) == {}
