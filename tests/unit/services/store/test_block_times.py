"""The timestamps of the next blocks, as a development chain's clock makes them."""

import pytest

from services.store.block_times import LAST_MOMENT, PLAIN, BlockTimes

NOW, PARENT, AHEAD = 1000.75, 990, 120


def test_a_clock_that_was_never_moved_is_the_nodes() -> None:
    assert PLAIN.are_plain and BlockTimes.read({b"hash": b"x"}) is PLAIN
    assert PLAIN.following(NOW, PARENT, AHEAD) == NOW
    assert PLAIN.following(NOW, 1100, AHEAD) == NOW  # the rules raise it to the median, and no further
    assert PLAIN.limit(NOW, PARENT) == NOW


@pytest.mark.parametrize(
    ("times", "parent", "following", "limit"),
    [
        (BlockTimes(offset=0), 990, 1000, 1000.75),
        (BlockTimes(offset=500), 990, 1500, 1500.75),
        (BlockTimes(offset=-500), 400, 500, 500.75),
        # Timestamps rise with each block, up to what counts as too early.
        (BlockTimes(offset=0), 1000, 1001, 1000.75),
        (BlockTimes(offset=0), 1119, 1120, 1000.75),
        (BlockTimes(offset=0), 1200, 1120, 1000.75),
        # A timestamp that was asked for comes first, then the interval.
        (BlockTimes(next=5000), 990, 5000, 5000),
        (BlockTimes(offset=9000, next=5000), 990, 5000, 10000.75),
        (BlockTimes(next=5000, interval=7), 990, 5000, 5000),
        (BlockTimes(interval=7), 990, 997, 1000.75),
        (BlockTimes(offset=3, interval=7), 2000, 2007, 2007),
        (BlockTimes(interval=0), 990, 990, 1000.75),
        (BlockTimes(interval=7), LAST_MOMENT - 1, LAST_MOMENT, LAST_MOMENT + 6),
    ],
)
def test_what_follows(times: BlockTimes, parent: int, following: float, limit: float) -> None:
    assert not times.are_plain
    assert times.following(NOW, parent, AHEAD) == following
    assert times.limit(NOW, parent) == limit


def test_the_fields_of_the_tip_are_read() -> None:
    fields = {b"hash": b"x", b"time_offset": b"-5", b"next_timestamp": b"7", b"timestamp_interval": b"0"}
    assert BlockTimes.read(fields) == BlockTimes(offset=-5, next=7, interval=0)
    assert BlockTimes.read({b"timestamp_interval": b"3"}) == BlockTimes(interval=3)
    assert BlockTimes.read({b"time_offset": b"soon", b"next_timestamp": b"1" * 99}).are_plain  # damaged
