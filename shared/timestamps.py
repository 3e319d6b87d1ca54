"""When a block may say it was made."""

from collections.abc import Sequence

from shared.block import Header

MEDIAN_SPAN = 11
# Seconds that a clock may run ahead of ours before its blocks have to wait, whatever the interval.
MAX_AHEAD = 120
# The same in block intervals, where that is less. See docs/adr/0007 for what liars can do with more.
MAX_INTERVALS_AHEAD = 3


def max_ahead(block_interval: int) -> int:
    """Seconds that a block's timestamp may lie in the future. `block_interval` is the spec's, in seconds; 0: none."""
    return min(MAX_AHEAD, MAX_INTERVALS_AHEAD * block_interval) if block_interval else MAX_AHEAD


def median_time(window: Sequence[Header]) -> int:
    """Median timestamp of the last 11 headers (fewer near genesis): the earliest time the next block may carry.

    A median instead of the parent's time: one liar cannot push the whole chain into the future.
    """
    times = sorted(int(header.timestamp) for header in window[-MEDIAN_SPAN:])
    return times[len(times) // 2]
