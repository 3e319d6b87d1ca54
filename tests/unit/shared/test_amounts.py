"""Amounts: one spelling each, nothing lost between coins and base units."""

import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.system.programs import ROOT
from shared.amounts import COIN, MAX_AMOUNT, format_amount, parse_amount
from shared.errors import InputError

FROZEN = json.loads((ROOT / "tests" / "vectors" / "amounts.json").read_text())


@pytest.mark.parametrize("vector", FROZEN["accepted"], ids=lambda vector: vector["amount"][:20])
def test_frozen_amount(vector: dict[str, str]) -> None:
    assert parse_amount(vector["amount"]) == int(vector["units"])
    assert format_amount(int(vector["units"])) == vector["amount"]


@pytest.mark.parametrize("text", [*FROZEN["refused"], 5, 1.5, True, None, [], b"5"], ids=lambda text: repr(text)[:20])
def test_refused(text: Any) -> None:
    with pytest.raises(InputError) as caught:
        parse_amount(text, field="fee")
    assert (caught.value.code, caught.value.field) == ("bad_amount", "fee")


@settings(max_examples=300, derandomize=True)
@given(st.integers(0, MAX_AMOUNT))
@example(0)
@example(1)
@example(COIN)
@example(MAX_AMOUNT)
def test_round_trip(units: int) -> None:
    text = format_amount(units)
    assert parse_amount(text) == units
    assert Fraction(text) * COIN == units


@settings(max_examples=300, derandomize=True)
@given(st.text("0123456789.", max_size=25) | st.text(max_size=8))
def test_only_the_normal_form_is_read(text: str) -> None:
    try:
        units = parse_amount(text)
    except InputError:
        return
    assert format_amount(units) == text
