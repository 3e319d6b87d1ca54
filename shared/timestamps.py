"""Which timestamps a block may have."""

from collections.abc import Sequence

from shared.block import Header

MEDIAN_SPAN = 11
# The most seconds that a block's timestamp may be ahead of the node's clock. A block further ahead has to wait.
MAX_AHEAD = 120
# The same in block intervals; the lower limit counts. docs/adr/0007 measures what liars can do with more.
MAX_INTERVALS_AHEAD = 3


def max_ahead(block_interval: int) -> int:
    """Seconds that a block's timestamp may lie in the future. `block_interval`: the spec's, in seconds, or 0."""
    return min(MAX_AHEAD, MAX_INTERVALS_AHEAD * block_interval) if block_interval else MAX_AHEAD


def median_time(window: Sequence[Header]) -> int:
    """The earliest timestamp of the next block: the median of the last 11 headers (fewer near genesis).

    With the parent's timestamp as the limit, one liar could push the whole chain into the future.
    """
    times = sorted(int(header.timestamp) for header in window[-MEDIAN_SPAN:])
    return times[len(times) // 2]
