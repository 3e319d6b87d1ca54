"""Quantities with three digits and a unit."""

import pytest

from services.system.quantities import hashes_text, rate_text, time_left


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "0 H/s"), (999, "999 H/s"), (1000, "1 kH/s"), (1234, "1.23 kH/s"), (999_400, "999 kH/s"),
        (999_900, "1,000 kH/s"), (1_000_000, "1 MH/s"), (999_900_000, "1,000 MH/s"), (2e12, "2 TH/s"),
        (1.2e15, "1,200 TH/s"),
    ],
)  # fmt: skip
def test_speeds(value: float, words: str) -> None:
    assert rate_text(value) == words


@pytest.mark.parametrize(
    ("value", "words"), [(0, "0"), (999_999, "999,999"), (1_000_000, "1 M"), (244_123_456, "244 M"), (1.42e9, "1.42 G")]
)
def test_hashes(value: float, words: str) -> None:
    assert hashes_text(value) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"), (1.94, "1.9 s"), (9.9, "9.9 s"), (9.96, "10 s"), (119.4, "119 s"), (120, "2 min"),
        (7199, "120 min"), (7200, "2 h"), (172_799, "48 h"), (172_800, "2 d"), (1e9, "11,574 d"),
    ],
)  # fmt: skip
def test_a_time_left(seconds: float, words: str) -> None:
    assert time_left(seconds) == words
