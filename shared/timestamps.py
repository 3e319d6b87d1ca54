"""When a block may say it was made."""

from collections.abc import Sequence

from shared.block import Header

MEDIAN_SPAN = 11
# A clock may run this many seconds ahead of ours before its blocks have to wait.
MAX_AHEAD = 120


def median_time(window: Sequence[Header]) -> int:
    """Median timestamp of the last 11 headers (fewer near genesis): the earliest time the next block may carry.

    A median instead of the parent's time: one liar cannot push the whole chain into the future.
    """
    times = sorted(int(header.timestamp) for header in window[-MEDIAN_SPAN:])
    return times[len(times) // 2]
