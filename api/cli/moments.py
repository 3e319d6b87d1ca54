"""Times as people read them."""

import time
from typing import Any


def moment(seconds: Any) -> str:
    """Unix seconds as date and time of day in this machine's time zone; the value itself if it is no such time."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(seconds)))
    except (ValueError, OverflowError, OSError, TypeError):
        return str(seconds)
