"""Which errors of JSON-RPC are logged, and how many."""

from typing import Any

import pytest

from api.rpc.error_log import MOST, ErrorLog
from services.settings.table import load
from services.system.allowance import Allowance
from tests.support.said import listen

DEV, NETWORK = load({}), load({"QUARRY_SPEC": "network"})
ERROR = {"code": -32000, "message": "no"}


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    return listen(monkeypatch, "api.rpc.error_log._log")


def test_an_error_is_logged_with_method_code_and_reason(said: list[dict[str, Any]]) -> None:
    ErrorLog().note(DEV, "eth_call", ERROR | {"message": "x" * 1000})
    [entry] = said
    assert entry == {
        "event": "rpc_error", "log_level": "info", "code": -32000, "left_out": 0, "method": "eth_call",
        "reason": "x" * 300,
    }  # fmt: skip


def test_on_other_chains_nothing_is_logged(said: list[dict[str, Any]]) -> None:
    ErrorLog().note(NETWORK, "eth_call", ERROR)
    assert said == []


def test_a_flood_is_counted_and_the_next_second_tells_it(
    said: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    errors = ErrorLog()
    monkeypatch.setattr(errors, "_allowance", Allowance(MOST, lambda: now[0]))
    for _ in range(10_000):
        errors.note(DEV, "eth_call", ERROR)
    assert len(said) == MOST
    now[0] += 1.0
    errors.note(DEV, "eth_call", ERROR)
    errors.note(DEV, "eth_call", ERROR)
    assert [entry["left_out"] for entry in said] == [0] * MOST + [10_000 - MOST, 0]
