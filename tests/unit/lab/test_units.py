"""Amounts and hash rates as scenarios write them."""

import pytest

from lab.interface import LabError
from lab.units import base_units, coins, hashes_per_second


@pytest.mark.parametrize(
    ("amount", "units"), [("0.25", 25 * 10**16), (0.25, 25 * 10**16), (2, 2 * 10**18), (1e-18, 1), (3.0, 3 * 10**18)]
)
def test_amounts(amount: str | float, units: int) -> None:
    assert base_units(amount) == units
    assert base_units(coins(units)) == units


@pytest.mark.parametrize("amount", ["", "1e3", "-1", -1, 1e-19, float("nan"), float("inf"), "1,5", 2**300])
def test_what_is_no_amount(amount: str | float) -> None:
    with pytest.raises(LabError):
        base_units(amount)


@pytest.mark.parametrize(
    ("rate", "hashes"),
    [("1.5MH/s", 1.5e6), ("800k", 8e5), ("2 GH/s", 2e9), ("7", 7.0), ("0", 0.0), (0, 0.0), (1.5, 1.5)],
)
def test_hash_rates(rate: str | float, hashes: float) -> None:
    assert hashes_per_second(rate) == hashes


@pytest.mark.parametrize("rate", ["", "fast", "1e6", "-1", -0.5, float("nan"), 1e16, True, "1.5 MB/s"])
def test_what_is_no_hash_rate(rate: str | float) -> None:
    with pytest.raises(LabError):
        hashes_per_second(rate)
