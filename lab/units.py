"""Amounts and hash rates as scenarios write them."""

from contextlib import suppress
from decimal import Decimal

from lab.interface import LabError
from shared.amounts import format_amount, parse_amount
from shared.errors import InputError
from shared.hash_rate import MAX_HASH_RATE, parse_hash_rate


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
    if isinstance(rate, str):
        if rate.strip() == "0":
            return 0.0
        with suppress(InputError):
            return float(parse_hash_rate(rate.strip()))
    elif not isinstance(rate, bool) and 0 <= rate <= MAX_HASH_RATE:
        return float(rate)
    raise LabError(f"A hash rate is hashes per second, such as 1.5MH/s, 800k or 0, not {rate!r}.")
