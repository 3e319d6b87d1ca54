"""`quarry limit` and `quarry worker --hash-rate`."""

import json
import os
from typing import Any

import pytest

from tests.support.cli import refused, run
from tests.support.fake_node import FakeNode

pytestmark = pytest.mark.usefixtures("node_of_this_machine")


def test_the_limit_is_shown_set_and_lifted(node: FakeNode) -> None:
    node.answers["/mining/limit"] = 200, {"hash_rate_limit": None}
    assert run("limit").stdout == "The node's hash rate has no limit.\n"
    assert run("limit", "off").exit_code == 0
    node.answers["/mining/limit"] = 200, {"hash_rate_limit": 1_500_000}
    assert run("limit", "1.5MH/s").stdout == "All workers of the node together do 1.5 MH/s at most.\n"
    assert json.loads(run("limit", "--json").stdout) == {"hash_rate_limit": 1_500_000}
    assert [method for method, *_ in node.asked] == ["GET", "DELETE", "POST", "GET"]
    assert json.loads(node.asked[2][2]) == {"hash_rate_limit": 1_500_000}
    assert all("Authorization" in headers for *_, headers in node.asked[1:3])


@pytest.mark.parametrize("rate", ["fast", "0", "-2M", "2MB", "1e6", "", "9" * 400])
def test_nonsense_is_refused_before_the_node_is_asked(node: FakeNode, rate: str) -> None:
    refused(run("limit", "--", rate), 2, "RATE must be hashes per second", "`off`")
    assert node.asked == []


def test_a_worker_gets_its_limit_as_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[tuple[list[str], dict[str, str]]] = []

    def execve(path: str, command: list[str], environment: dict[str, str]) -> Any:
        became.append((command, environment))
        raise SystemExit(0)

    monkeypatch.setattr(os, "execve", execve)
    run("worker", "--queue", "mining", "--hash-rate", "800k")
    run("worker", "--queue", "mining")
    assert [environment.get("QUARRY_HASH_RATE") for _, environment in became] == ["800k", None]
    assert all("--hash-rate" not in command for command, _ in became)
    for rate in ("fast", "", "0", " 2M"):
        refused(run("worker", "--queue", "mining", "--hash-rate", rate), 2, "--hash-rate: ")
    refused(
        run("worker", "--queue", "network", "--hash-rate", "2M"), 2, "--hash-rate is for a worker of the queue mining"
    )
    assert len(became) == 2
