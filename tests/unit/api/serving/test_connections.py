"""How often a process looks at its connections. What it does to them is in tests/integration/http/test_gate.py."""

from api.serving.connections import READ_SECONDS, TIGHT_READ_SECONDS, pause_after

FULL = 0.03  # seconds that a look at 2,048 connections takes


def test_looks_cost_little_and_come_often_enough() -> None:
    assert pause_after(0.0, is_tight=False) == pause_after(0.001, is_tight=False) == 1.0
    assert FULL / pause_after(FULL, is_tight=False) <= 0.01
    assert pause_after(FULL, is_tight=False) <= READ_SECONDS / 4


def test_a_crowd_is_looked_at_as_often_as_before_while_others_wait() -> None:
    assert pause_after(FULL, is_tight=True) <= TIGHT_READ_SECONDS / 2
