"""Amounts and hash rates as scenarios write them."""

import re
from decimal import Decimal
from typing import Final

from lab.interface import LabError
from shared.amounts import format_amount, parse_amount
from shared.errors import InputError

_UNITS: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_RATE: Final = re.compile(r"([0-9]{1,16}(?:\.[0-9]{1,12})?) ?([kmgt]?)(?:h/s)?", re.IGNORECASE | re.ASCII)
_MOST: Final = 1e15  # hashes per second


def base_units(amount: str | float) -> int:
    """Base units of an amount of coins, such as `"0.25"`, `0.25` or `2`.

    Raises:
        LabError: it is no amount.
    """
    text = amount if isinstance(amount, str) else f"{Decimal(repr(amount)):f}"
    if "." in text and not isinstance(amount, str):
        text = text.rstrip("0").removesuffix(".")
    try:
        return parse_amount(text)
    except InputError as error:
        raise LabError(str(error)) from None


def coins(units: int) -> str:
    """The text of an amount in base units."""
    return format_amount(units)


def hashes_per_second(rate: str | float) -> float:
    """Hashes per second of `"1.5MH/s"`, `"800k"` or a number; 0 is allowed.

    Raises:
        LabError: it is of another form, below 0 or above 1000 TH/s.
    """
    found = -1.0
    if isinstance(rate, str):
        if (match := _RATE.fullmatch(rate.strip())) is not None:
            found = float(match[1]) * _UNITS[match[2].lower()]
    elif not isinstance(rate, bool):
        found = float(rate)
    if not 0 <= found <= _MOST:
        raise LabError(f"A hash rate is hashes per second, such as 1.5MH/s, 800k or 0, not {rate!r}.")
    return found
