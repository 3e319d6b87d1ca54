"""Hash rates: text such as `2M` outside, whole hashes per second inside."""

import re
from typing import Any, Final

from shared.errors import InputError

MAX_HASH_RATE: Final = 10**15  # hashes per second: more than any machine does, and exact as a double
_UNITS: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
# [0-9], because \d also matches "１２". The blank is what Quarry itself prints: 1.5 MH/s.
_RATE: Final = re.compile(r"([0-9]{1,16})(?:\.([0-9]{1,12}))? ?([kmgt]?)(?:h/s)?", re.IGNORECASE | re.ASCII)


def parse_hash_rate(value: Any, *, field: str = "hash_rate") -> int:
    """Whole hashes per second of `2M`, `1.5 MH/s`, `800k`, `1000`, or of an integer. Fractions of a hash are dropped.

    Raises:
        InputError: `bad_hash_rate`: of another form, below 1, or above MAX_HASH_RATE.
    """
    rate = 0
    if type(value) is int:
        rate = value
    elif isinstance(value, str) and (match := _RATE.fullmatch(value)) is not None:
        whole, fraction, unit = match.groups(default="")
        rate = int(whole + fraction) * _UNITS[unit.lower()] // 10 ** len(fraction)
    if not 1 <= rate <= MAX_HASH_RATE:
        raise InputError(
            "bad_hash_rate",
            f"{field} must be hashes per second, from 1 to 1000T, such as 800k, 1.5MH/s or 2000000.",
            field=field,
        )
    return rate
