"""`quarry status`: one column on a terminal of 80 columns, two on a wide one."""

from typing import Any

import pytest

from tests.support.cli import run
from tests.support.fake_node import FakeNode

TIP = "ab" * 32
STATUS: dict[str, Any] = {
    "node": "node1", "version": "0.1.0", "spec": "dev", "chain_id": 847731, "height": 12, "chainwork": 11, "tip": TIP,
    "peers": [], "round": None, "supply": "100011", "min_fee": "0", "automine": True, "block_time": 0.0,
    "mine": "asked", "mempool": {"size": 2, "bytes": 900}, "workers": {"mining": 1, "network": 1},
    "rpc_url": "http://127.0.0.1:8545", "ws_url": "ws://127.0.0.1:8545",
    "address": "0x863259C990e88d07c516c6688951c09FF65CD7Ca", "time": 1_750_000_000.0, "mining_waits_until": None,
    "wrong_clocks": [],
}  # fmt: skip


def workers(number: int) -> dict[str, Any]:
    return {
        "height": 13, "hashes": 5_000_000, "rate": 1_500_000.0, "expected_seconds": 3.0,
        "workers": [{"name": f"miner-{place}", "hashes": 1_000, "rate": 1e6} for place in range(1, number + 1)],
    }  # fmt: skip


@pytest.fixture
def node() -> Any:
    fake = FakeNode()
    fake.answers["/status"] = 200, STATUS
    fake.answers["/blocks"] = 200, {"blocks": [{"hash": TIP, "timestamp": 1_749_999_820}], "length": 12}
    yield fake
    fake.close()


def lines_of(node: FakeNode, columns: int | None, **change: Any) -> list[str]:
    node.answers["/status"] = 200, {**STATUS, **change}
    result = run("status", "--url", node.url, columns=columns)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


@pytest.mark.parametrize("number", [0, 1, 5, 64])
def test_it_fits_a_terminal_of_24_rows_with_a_round_and_everything_wrong(node: FakeNode, number: int) -> None:
    lines = lines_of(node, 80, round=workers(number), time_offset=-70, ledger={"state": "differs", "detail": "x"})
    assert len(lines) < 24 and max(map(len, lines)) <= 80
    assert sum(line.split() == ["WORKER", "HASHES", "SPEED"] for line in lines) == min(number, 1)
    assert sum(line.startswith("  miner-") for line in lines) == min(number, 5)
    assert ("  and 59 more workers; --json shows all" in lines) == (number == 64)


def test_a_wide_terminal_has_two_columns(node: FakeNode) -> None:
    narrow, wide = lines_of(node, 80), lines_of(node, 160)
    assert len(wide) < len(narrow) and max(map(len, wide)) <= 160
    assert sorted(" ".join(wide).split()) == sorted(" ".join(narrow).split())
    assert any("CHAIN" in line and "MINING" in line for line in wide)
    assert lines_of(node, None) == narrow


def test_the_tip_has_its_time(node: FakeNode) -> None:
    [line] = [line for line in lines_of(node, 80) if line.startswith("  height")]
    assert line.startswith("  height     12, 2025-06-15 1") and line.endswith("(3 min ago)")
    [line] = [line for line in lines_of(node, 80, tip="cd" * 32) if line.startswith("  height")]
    assert line == "  height     12", "the newest block is another one than the tip was"
    node.answers["/blocks"] = 404, {}
    assert "  height     12" in lines_of(node, 80)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "whenever a transaction waits and on request"),
        ({"automine": False}, "on request only"),
        ({"automine": False, "block_time": 2.0}, "every 2 s and on request"),
        ({"block_time": 0.5}, "every 0.5 s and whenever a transaction waits and on request"),
        ({"mine": "always"}, "always"),
    ],
)
def test_it_says_when_blocks_are_mined(node: FakeNode, change: dict[str, Any], said: str) -> None:
    assert f"MINING       {said}" in lines_of(node, 80, **change)
