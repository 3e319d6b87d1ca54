"""Paired ratios: what the same work costs in two ways that take turns, so that a busy machine slows both."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Ratio:
    """The median of paired ratios, and how sure it is."""

    median: float
    quartiles: tuple[float, float]
    interval: tuple[float, float]  # holds the median of all such ratios with 95 %
    samples: int

    @classmethod
    def of(cls, found: Sequence[float]) -> "Ratio":
        """Of at least two ratios. The interval supposes nothing about how they are spread: it is of order statistics.

        Of fewer than six ratios no two include the median so often, and the interval is from the least to the largest.
        """
        ordered = sorted(found)
        low, _, high = statistics.quantiles(ordered, n=4, method="inclusive")
        outside = outside_the_interval(len(ordered))
        return cls(statistics.median(ordered), (low, high), (ordered[outside], ordered[-1 - outside]), len(ordered))

    def __str__(self) -> str:
        return (
            f"{self.median:.3f}, with 95 % in {self.interval[0]:.3f} to {self.interval[1]:.3f}; "
            f"quartiles {self.quartiles[0]:.3f} and {self.quartiles[1]:.3f} of {self.samples} pairs"
        )


def outside_the_interval(count: int) -> int:
    """How many of so many values, at either end, lie outside the 95 % interval of their median."""
    outside, below = 0, 1 / 2**count  # below: the chance that at most `outside` values are less than the median
    while below <= (1 - _CONFIDENCE) / 2:
        outside += 1
        below += comb(count, outside) / 2**count
    return max(0, outside - 1)
