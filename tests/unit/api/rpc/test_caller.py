"""Who may use control methods."""

from dataclasses import replace
from typing import Any

import pytest

from api.rpc.caller import may_control
from services.settings.table import Settings, load


def settings(**changed: Any) -> Settings:
    return replace(load({}), **changed)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("http://localhost:3000", True),
        ("https://localhost", True),
        ("http://127.0.0.1:8545", True),
        ("http://127.9.8.7", True),
        ("http://[::1]:5173", True),
        ("http://LOCALHOST:1", True),
        ("", False),
        ("null", False),
        ("file://", False),
        ("https://example.org", False),
        ("http://localhost.example.org", False),
        ("http://127.0.0.1.example.org", False),
        ("http://example.org:127", False),
        ("http://localhost@example.org", False),
        ("http://[::1", False),
        ("http://0.0.0.0", False),
        ("http://10.0.0.1", False),
        ("http://localhost, https://example.org", False),
        ("http://localhost, http://localhost", False),
    ],
)
def test_only_pages_of_this_machine_may_control(origin: str | None, allowed: bool) -> None:
    assert may_control(settings(), origin) is allowed


def test_nobody_may_control_a_chain_that_is_not_for_development() -> None:
    assert not may_control(load({"QUARRY_SPEC": "network"}), None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "example.org"])
def test_nobody_may_control_a_node_that_others_reach(host: str) -> None:
    assert not may_control(settings(host=host), None)
    assert not may_control(settings(host=host), "http://localhost")
