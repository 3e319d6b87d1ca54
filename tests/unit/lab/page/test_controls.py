"""Each control of the page is one call of the lab; what cannot be done is one sentence, and does nothing."""

from typing import Any

import pytest

from lab.interface import LabError
from lab.page.controls import Controls
from lab.strategies.selfish import Selfish
from tests.support.fake_lab import FakeLab


@pytest.fixture
def lab() -> FakeLab:
    return FakeLab()


@pytest.fixture
def controls(lab: FakeLab) -> Controls:
    return Controls(lab, {"selfish": Selfish})


@pytest.mark.parametrize(
    ("asked", "calls"),
    [
        ({"call": "stop", "node": 1}, [("stop", 1)]),
        ({"call": "kill", "node": 2}, [("kill", 2)]),
        ({"call": "start", "node": 3}, [("start", 3)]),
        ({"call": "limit", "node": 1, "rate": 5e5}, [("limit", 1, 5e5)]),
        ({"call": "limit", "node": 1, "rate": None}, [("limit", 1, None)]),
        ({"call": "strategy", "node": 4, "name": "selfish"}, [("strategy", 4, "selfish")]),
        ({"call": "strategy", "node": 4, "name": None}, [("strategy", 4, None)]),
        ({"call": "partition", "groups": [[1, 2], [3, 4]]}, [("partition", [1, 2], [3, 4])]),
        ({"call": "partition", "groups": [[1, 2, 3, 4]]}, [("heal",)]),
        ({"call": "heal"}, [("heal",)]),
        ({"call": "link", "from": 1, "to": 2, "latency": 0.5}, [("set", "1>2", {"latency": 0.5})]),
        ({"call": "link", "from": 1, "to": None, "cut": True}, [("cut", "1>2"), ("cut", "1>3"), ("cut", "1>4")]),
        ({"call": "link", "from": 1, "to": 2, "cut": False}, [("restore", "1>2")]),
        ({"call": "send", "node": 1, "to": 2, "amount": "0.5"}, [("send", 1, 2, "0.5", 7, None)]),
    ],
)
def test_a_control_is_one_call(lab: FakeLab, controls: Controls, asked: Any, calls: list[Any]) -> None:
    controls.act(asked)
    assert lab.calls == calls


def test_a_double_spend_goes_to_a_node_that_has_not_heard_of_the_payment(lab: FakeLab, controls: Controls) -> None:
    controls.act({"call": "send", "node": 1, "to": 2, "amount": "0.5"})
    for number in (1, 2):
        lab.node(number).knows.add(controls.payments[0].id)
    controls.act({"call": "double_spend"})
    assert lab.calls[-1] == ("send", 1, 1, "0.5", 7, 3)
    for number in (3, 4):
        lab.node(number).knows.add(controls.payments[0].id)
    with pytest.raises(LabError, match="Part the network first"):
        controls.act({"call": "double_spend"})


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, 'object with a "call"'),
        ({"call": 3}, 'object with a "call"'),
        ({"call": "explode"}, "There is no control 'explode'"),
        ({"call": "__init__"}, "There is no control"),
        ({"call": "stop"}, "node is the number of a node"),
        ({"call": "stop", "node": "1"}, "node is the number of a node"),
        ({"call": "stop", "node": True}, "node is the number of a node"),
        ({"call": "stop", "node": 9}, "There is no node 9"),
        ({"call": "stop", "node": 1, "now": 1}, "stop has no 'now'"),
        ({"call": "limit", "node": 1, "rate": -1}, "rate is a number from 0"),
        ({"call": "limit", "node": 1, "rate": float("nan")}, "rate is a number from 0"),
        ({"call": "strategy", "node": 1, "name": "evil"}, "There is no strategy 'evil'. There are selfish."),
        ({"call": "strategy", "node": 1, "name": {}}, "There is no strategy"),
        ({"call": "partition", "groups": 3}, "groups is a list"),
        ({"call": "partition", "groups": [[1], ["2"]]}, "groups is a list"),
        ({"call": "link", "from": 1, "to": 2, "latency": 61}, "latency is a number from 0 to 60"),
        ({"call": "send", "node": 1, "to": 2, "amount": 5}, "amount is a text"),
        ({"call": "send", "node": 1, "to": 2, "amount": "too much"}, "not an amount"),
        ({"call": "double_spend"}, "no payment to spend"),
    ],
)
def test_what_cannot_be_done_is_said_and_does_nothing(lab: FakeLab, controls: Controls, asked: Any, said: str) -> None:
    with pytest.raises(LabError, match=said):
        controls.act(asked)
    assert lab.calls == [] and controls.payments == []
