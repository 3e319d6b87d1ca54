"""What a scenario claimed, and whether it held: of one run, and of many seeds together.

Shares of independent trials have Wilson's interval, means over seeds Student's. Intervals are shown at 95 % and judged
at 99.9 %: of 27 true claims judged at 95 %, one or more would fail three times in four.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist, fmean, stdev
from typing import Any

SHOWN = 0.95
JUDGED = 0.999


@dataclass(frozen=True, slots=True)
class Verdict:
    """One claim. `low` and `high` are the ends of the 95 % interval of `value`, or None."""

    claim: str
    held: bool
    value: float | None = None
    low: float | None = None
    high: float | None = None
    expected: float | None = None

    def to_object(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Observation:
    """What one run saw of a claim: whether it held, or a figure to compare with what is expected."""

    claim: str
    held: bool = True
    value: float | None = None
    expected: float | None = None
    trials: int | None = None
    measured: bool = False  # a figure; `held` follows from the interval


def wilson(successes: float, trials: int, confidence: float = SHOWN) -> tuple[float, float]:
    """Wilson's interval of a share (E. B. Wilson, 1927)."""
    if trials < 1:
        raise ValueError("an interval needs at least one trial")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = successes / trials
    spread = z * math.sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2)
    middle = share + z * z / (2 * trials)
    scale = 1 + z * z / trials
    # At both ends the interval is exact, and its calculation is not.
    low = 0.0 if share <= 0 else max(0.0, (middle - spread) / scale)
    high = 1.0 if share >= 1 else min(1.0, (middle + spread) / scale)
    return low, high


def mean_interval(values: Sequence[float], confidence: float = SHOWN) -> tuple[float, float]:
    """Student's interval of the mean of independent values; at least two."""
    if len(values) < 2:
        raise ValueError("an interval of a mean needs at least two values")
    spread = student_quantile(0.5 + confidence / 2, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    middle = fmean(values)
    return middle - spread, middle + spread


def student_quantile(probability: float, freedom: int) -> float:
    """The quantile of Student's t distribution: found by bisection of its distribution function."""
    low, high = 0.0, 1.0
    while _student_cdf(high, freedom) < probability:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_cdf(middle, freedom) < probability else (low, middle)
    return (low + high) / 2


def _student_cdf(t: float, freedom: int) -> float:
    """For t >= 0, by the finite series for whole degrees of freedom (Abramowitz and Stegun 26.7.3 and 26.7.4)."""
    theta = math.atan(t / math.sqrt(freedom))
    cosine, sine = math.cos(theta), math.sin(theta)
    odd = freedom % 2 == 1
    term = total = (cosine if odd else 1.0) if freedom > 1 else 0.0
    for k in range(3 if odd else 2, freedom - 1, 2):
        term *= (k - 1) / k * cosine * cosine
        total += term
    area = 2 / math.pi * (theta + sine * total) if odd else sine * total
    return 0.5 + area / 2


def judge(observations: Sequence[Observation]) -> Verdict:
    """The verdict on one claim from what each run saw of it; at least one, in the order of the seeds."""
    first = observations[0]
    if not first.measured:
        values = [each.value for each in observations if each.value is not None]
        return Verdict(first.claim, all(each.held for each in observations), fmean(values) if values else None)
    expected = _expected(observations)
    observations = [each for each in observations if each.trials != 0]
    if not observations:  # no run saw what is measured
        return Verdict(first.claim, True, expected=expected)
    values = [each.value for each in observations if each.value is not None]
    trials = _trials(observations)
    value = fmean(values, trials)
    shown, judged = _interval(values, trials, SHOWN), _interval(values, trials, JUDGED)
    held = expected is None or judged is None or judged[0] <= expected <= judged[1]
    low, high = shown if shown is not None else (None, None)
    return Verdict(first.claim, held, value, low, high, expected)


def _expected(observations: Sequence[Observation]) -> float | None:
    """What is expected of the mean of all runs: a run may have measured what its expectation depends on."""
    given = [each.expected for each in observations if each.expected is not None]
    if len(given) < len(observations):
        return None
    return given[0] if len(set(given)) == 1 else fmean(given)


def _trials(observations: Sequence[Observation]) -> list[int] | None:
    """How many trials each run counted; None: not all did."""
    counts = [each.trials for each in observations if each.trials is not None]
    return counts if len(counts) == len(observations) else None


def _interval(values: Sequence[float], trials: list[int] | None, confidence: float) -> tuple[float, float] | None:
    if trials is not None:
        return wilson(sum(value * count for value, count in zip(values, trials, strict=True)), sum(trials), confidence)
    return mean_interval(values, confidence) if len(values) > 1 else None


def judge_all(runs: Iterable[Sequence[Observation]]) -> list[Verdict]:
    """The verdicts on every claim of several runs of one scenario, in the order in which they were first made."""
    by_claim: dict[str, list[Observation]] = {}
    for run in runs:
        for each in run:
            by_claim.setdefault(each.claim, []).append(each)
    return [judge(each) for each in by_claim.values()]
