"""The median of the last eleven timestamps."""

import statistics

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.block import Header
from shared.timestamps import max_ahead, median_time


def headers(times: list[int]) -> list[Header]:
    return [Header(i, time, "", 1, "", 0, "") for i, time in enumerate(times, start=1)]


def test_odd_and_even_numbers_near_genesis() -> None:
    assert median_time(headers([50])) == 50
    assert median_time(headers([50, 40])) == 50  # of two, the later
    assert median_time(headers([50, 40, 60])) == 50
    assert median_time(headers([10, 20, 30, 40])) == 30


def test_three_intervals_ahead_are_allowed_and_never_more_than_two_minutes() -> None:
    assert [max_ahead(interval) for interval in (1, 10, 39, 40, 41, 86400)] == [3, 30, 117, 120, 120, 120]
    assert max_ahead(0) == 120  # where the difficulty never changes, nothing can be gained


def test_only_the_last_eleven_count() -> None:
    assert median_time(headers([10**9] * 50 + list(range(11)))) == 5
    assert median_time(headers([10**9, *range(10)])) == 5


def test_five_liars_of_eleven_move_it_no_further_than_an_honest_time() -> None:
    honest = list(range(100, 106))
    assert median_time(headers([*honest, *[10**9] * 5])) == 105
    assert median_time(headers([*[0] * 5, *honest])) == 100


@settings(max_examples=100, derandomize=True)
@given(st.lists(st.integers(0, 2**53 - 1), min_size=1, max_size=70))
def test_it_is_the_high_median(times: list[int]) -> None:
    assert median_time(headers(times)) == statistics.median_high(times[-11:])
