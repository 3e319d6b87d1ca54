"""Verdicts: intervals against published values, and what holds."""

import random
from statistics import fmean

import pytest

from lab.verdicts import JUDGED, Observation, judge, judge_all, mean_interval, student_quantile, wilson


@pytest.mark.parametrize(
    ("probability", "freedom", "expected"),
    [  # tables of Student's t, such as Abramowitz and Stegun, table 26.10
        (0.975, 1, 12.706),
        (0.975, 2, 4.303),
        (0.975, 5, 2.571),
        (0.975, 30, 2.042),
        (0.995, 10, 3.169),
        (0.9995, 2, 31.599),
        (0.9995, 30, 3.646),
        (0.95, 4, 2.132),
    ],
)
def test_quantiles_of_student_are_those_of_the_tables(probability: float, freedom: int, expected: float) -> None:
    assert student_quantile(probability, freedom) == pytest.approx(expected, abs=0.001)


def test_wilson_gives_published_values() -> None:
    # Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    for successes, trials, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        assert wilson(successes, trials) == pytest.approx((low, high), abs=0.0001)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=0.0001)
    assert wilson(0, 20)[0] == 0.0 and wilson(20, 20)[1] == 1.0, "exactly"


def test_intervals_contain_the_true_value_as_often_as_they_say() -> None:
    choose = random.Random(7)
    held = means = 0
    for _ in range(1000):
        draws = [choose.random() < 0.3 for _ in range(80)]
        low, high = wilson(sum(draws), 80)
        held += low <= 0.3 <= high
        low, high = mean_interval([choose.gauss(2.0, 1.0) for _ in range(5)])
        means += low <= 2.0 <= high
    assert 920 <= held <= 980
    assert 920 <= means <= 980


def test_an_interval_needs_values() -> None:
    with pytest.raises(ValueError, match="at least one"):
        wilson(0, 0)
    with pytest.raises(ValueError, match="at least two"):
        mean_interval([1.0])


def test_a_claim_holds_only_if_it_held_in_every_run() -> None:
    assert judge([Observation("a"), Observation("a")]).held
    assert not judge([Observation("a"), Observation("a", held=False)]).held


def test_a_figure_is_shown_at_95_percent_and_judged_at_99_9() -> None:
    values = [1.0, 1.1, 0.9, 1.05, 0.95, 1.0, 1.02, 0.98]
    low, high = mean_interval(values)
    wide_low, wide_high = mean_interval(values, JUDGED)
    assert wide_low < low < high < wide_high

    def verdict(expected: float):  # type: ignore[no-untyped-def]
        return judge([Observation("x", value=value, expected=expected, measured=True) for value in values])

    between = verdict((high + wide_high) / 2)
    assert between.held and (between.low, between.high) == (low, high) and between.value == fmean(values)
    assert not verdict(wide_high + 0.001).held
    assert not verdict(wide_low - 0.001).held


def test_one_run_has_an_interval_only_if_it_counts_trials() -> None:
    alone = judge([Observation("x", value=0.4, expected=0.3, measured=True)])
    assert alone.held and alone.low is None and alone.high is None
    counted = judge([Observation("x", value=0.4, expected=0.3, trials=10, measured=True)])
    assert counted.held and (counted.low, counted.high) == wilson(4, 10)
    assert not judge([Observation("x", value=0.4, expected=0.3, trials=10_000, measured=True)]).held


def test_trials_of_all_seeds_are_counted_together() -> None:
    runs = [
        Observation("x", value=0.0, trials=100, measured=True),
        Observation("x", value=1.0, trials=300, measured=True),
    ]
    verdict = judge(runs)
    assert (verdict.low, verdict.high) == wilson(300, 400)
    assert verdict.value == pytest.approx(0.75)


def test_a_run_without_trials_says_nothing() -> None:
    none = Observation("x", value=0.0, expected=0.75, trials=0, measured=True)
    some = Observation("x", value=0.75, expected=0.75, trials=100, measured=True)
    verdict = judge([none, some, *[none] * 500])
    assert verdict.held and verdict.value == 0.75 and (verdict.low, verdict.high) == wilson(75, 100)
    nothing = judge([none])
    assert nothing.held and (nothing.value, nothing.low, nothing.expected) == (None, None, 0.75)


def test_claims_stay_in_the_order_in_which_they_were_made() -> None:
    first = [Observation("b"), Observation("a")]
    second = [Observation("b"), Observation("a"), Observation("c", held=False)]
    assert [(each.claim, each.held) for each in judge_all([first, second])] == [("b", True), ("a", True), ("c", False)]
