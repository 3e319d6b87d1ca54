"""`quarry chain tips` against a node that answers as the test says."""

import json
from typing import Any

import pytest

from tests.support.cli import run
from tests.support.fake_node import FakeNode

pytestmark = pytest.mark.usefixtures("own_environment")


def tip(state: str, **changes: Any) -> dict[str, Any]:
    known = {
        "hash": "ab" * 32, "height": 7, "chainwork": 6, "fork": {"height": 5, "hash": "cd" * 32}, "state": state,
        "proven": True, "rule": None, "reason": None, "size": None, "first_seen": None, "peers": [],
    }  # fmt: skip
    return known | changes


def test_each_tip_is_a_line(node: FakeNode) -> None:
    tips = [
        tip("active"),
        tip("fork", first_seen=940.0),
        tip("headers", proven=False, fork=None, peers=["http://b:1"]),
        tip("invalid", rule="wrong_reward", reason="The reward must be 1."),
    ]
    node.answers["/tips"] = 200, {"tips": tips}
    node.answers["/status"] = 200, {"time": 1000.0}
    result = run("chain", "tips", "--url", node.url)
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines == [
        ["STATE", "HEIGHT", "TIP", "FORK", "POINT", "SEEN", "WHY"],
        ["active", "7", "ab" * 32, "5"],
        ["fork", "7", "ab" * 32, "5", "1", "min", "ago"],
        ["headers", "7", "ab" * 32, "http://b:1", "says", "so"],
        ["invalid", "7", "ab" * 32, "5", "wrong_reward"],
    ], result.output
    assert json.loads(run("chain", "tips", "--url", node.url, "--json").stdout) == {"tips": tips}
