"""Times as people read them."""

import time
from typing import Any


def moment(seconds: Any) -> str:
    """Unix seconds as date and time of day in this machine's time zone; the value itself if it is no such time."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(seconds)))
    except (ValueError, OverflowError, OSError, TypeError):
        return str(seconds)


def ago(seconds: Any, now: Any) -> str:
    """How long before `now` a time is, such as "3 min ago"; "" if either is no time. Both in Unix seconds."""
    try:
        age = round(float(now) - float(seconds))
    except (ValueError, OverflowError, TypeError):
        return ""
    size, unit = next(item for item in _UNITS if abs(age) >= item[0] or item[0] == 1)
    text = f"{abs(age) // size} {unit}"
    return f"{text} ago" if age >= 0 else f"in {text}"


_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
