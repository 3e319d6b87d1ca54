"""Whether two samples can come from one law: p-values, so few that scipy is not needed."""

from __future__ import annotations

import math
from collections.abc import Sequence


def fisher(successes: int, trials: int, others: int, other_trials: int) -> float:
    """Fisher's exact test, two-sided: how likely two shares differ at least so much, if they are one share.

    Args:
        successes: of `trials`.
        others: successes of `other_trials`.
    """
    both, all_trials = successes + others, trials + other_trials

    def chance(count: int) -> float:
        return math.comb(trials, count) * math.comb(other_trials, both - count) / math.comb(all_trials, both)

    observed = chance(successes)
    possible = range(max(0, both - other_trials), min(both, trials) + 1)
    return min(1.0, sum(each for each in map(chance, possible) if each <= observed * (1 + 1e-9)))


def among(one: float, others: Sequence[float]) -> float:
    """The rank test for a sample of one value, two-sided: how likely it lies at least so far out among the others."""
    below = sum(each <= one for each in others) + 1
    above = sum(each >= one for each in others) + 1
    return min(1.0, 2 * min(below, above) / (len(others) + 1))


def kolmogorov_smirnov(one: Sequence[float], other: Sequence[float]) -> float:
    """The test of N. V. Smirnov (1939), by its limit law, with the correction of M. A. Stephens (1970)."""
    values = sorted([(value, True) for value in one] + [(value, False) for value in other])
    seen, distance = [0, 0], 0.0
    for place, (value, first) in enumerate(values):
        seen[first] += 1
        if place + 1 == len(values) or values[place + 1][0] != value:  # ties are one step
            distance = max(distance, abs(seen[True] / len(one) - seen[False] / len(other)))
    root = math.sqrt(len(one) * len(other) / (len(one) + len(other)))
    x = (root + 0.12 + 0.11 / root) * distance
    if x < 0.2:
        return 1.0  # the series converges too slowly there
    return max(0.0, min(1.0, 2 * sum((-1) ** (k - 1) * math.exp(-2 * (k * x) ** 2) for k in range(1, 101))))
