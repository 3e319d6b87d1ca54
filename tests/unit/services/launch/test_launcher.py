"""What a start says while it waits."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from services.launch import launcher
from services.launch.launcher import LaunchFailed, RunningNode


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was reported. A look takes a second."""
    now = iter(range(1_000))
    monkeypatch.setattr(launcher, "time", SimpleNamespace(monotonic=lambda: float(next(now)), sleep=lambda _: None))
    return []


@pytest.fixture
def wait(said: list[str]) -> Callable[[Iterator[str]], None]:
    node: Any = object.__new__(RunningNode)
    node.plan = SimpleNamespace(name="node1", files=SimpleNamespace(logs=launcher.Path("/nowhere")))
    node._report, node._supervisors = said.append, []
    return lambda awaited: node._wait_for(lambda: next(awaited))


def test_a_quick_start_says_nothing(wait: Callable[[Iterator[str]], None], said: list[str]) -> None:
    wait(iter(["the API", ""]))
    assert said == []


def test_a_slow_one_says_every_two_seconds_what_it_waits_for(
    wait: Callable[[Iterator[str]], None], said: list[str]
) -> None:
    wait(iter(["the API"] * 3 + ["mining workers (1 of 2)"] * 4 + [""]))
    assert said == [
        "node1: waiting for the API (2 s); the first start on a machine compiles the code and the hash kernel",
        "node1: waiting for mining workers (1 of 2) (4 s)",
        "node1: waiting for mining workers (1 of 2) (6 s)",
    ]


def test_it_gives_up_after_a_minute(wait: Callable[[Iterator[str]], None], said: list[str]) -> None:
    with pytest.raises(LaunchFailed, match="was not ready within 60 s"):
        wait(iter(["the API"] * 100))
    assert said[-1] == "node1: waiting for the API (60 s)"
