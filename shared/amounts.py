"""Amounts: decimal strings in coins outside, integers in base units (10^-18 coin) inside."""

import re
from typing import Any

from shared.errors import InputError

DECIMALS = 18
COIN: int = 10**DECIMALS
MAX_AMOUNT = 2**256 - 1

# One spelling per amount: no sign, no exponent, no leading or trailing zeros. [0-9], because \d also matches "１２".
_AMOUNT = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]{0,17}[1-9])?")
# 2^256 - 1 base units are 60 digits, a dot and 18 more.
_MAX_LENGTH = 79


def parse_amount(text: Any, *, field: str = "amount") -> int:
    """Base units of an amount in normal form, such as `"5"` or `"0.25"`.

    Raises:
        InputError: `bad_amount`: not a string of that form, or not below 2^256 base units.
    """
    if not isinstance(text, str) or len(text) > _MAX_LENGTH or not _AMOUNT.fullmatch(text):
        raise InputError(
            "bad_amount", f'{field} must be a decimal string such as "5" or "0.25" (at most 18 decimals).', field=field
        )
    whole, _, fraction = text.partition(".")
    units = int(whole) * COIN + (int(fraction.ljust(DECIMALS, "0")) if fraction else 0)
    if units > MAX_AMOUNT:
        raise InputError("bad_amount", f"{field} must be below 2^256 base units.", field=field)
    return units


def format_amount(units: int) -> str:
    """The normal form of `units` base units: the inverse of `parse_amount`."""
    whole, fraction = divmod(units, COIN)
    return f"{whole}.{fraction:018}".rstrip("0") if fraction else str(whole)
