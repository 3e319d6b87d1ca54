"""Shares: what a miner that is not trusted has done, as far as it can be checked.

A share is a proof that meets an easy difficulty. Each hash is one with a probability of 1 / difficulty, so shares ×
difficulty is what the miner has done, on average. All functions count in hashes.
"""

import math
from typing import Final

# Of a lease that is searched to its end, on average. More would say more about a miner, and cost the node more.
SHARES_PER_LEASE: Final = 8
# Standard deviations: an honest miner is further off once in 370 looks.
SIGMAS: Final = 3
# Blocks count as withheld where an honest miner would find so few with a lower probability.
WITHHELD: Final = 0.001
# Standard deviations from its middle up to which a distribution is summed: what is further off is below 10^-20 of it.
_SUMMED: Final = 10


def share_difficulty(proofs: int, difficulty: int) -> int:
    """Expected hashes for one share of a lease of `proofs`; never more than the block's own `difficulty`."""
    return max(1, min(difficulty, proofs // SHARES_PER_LEASE))


def borne_out(credited: int, difficulty: int) -> tuple[int, int]:
    """The least and the most hashes that a miner may have done whose shares of `difficulty` gave it this credit.

    They are the h whose credit, h on average with a variance of h × difficulty, is at most SIGMAS standard deviations
    from `credited`: the interval of Wilson's score, for a Poisson process.
    """
    half = SIGMAS * SIGMAS * difficulty  # twice the middle's distance from `credited`
    root = math.isqrt(half * half + 4 * half * credited)
    return max(0, (2 * credited + half - root) // 2), (2 * credited + half + root + 1) // 2


def chance_of_so_few(expected: float, found: int) -> float:
    """The probability that a miner which hands in every block has found at most `found`, where `expected` are
    expected: the lower tail of a Poisson distribution.

    Args:
        expected: the sum of credit / difficulty over all shares; >= 0.
    """
    if expected <= 0:
        return 1.0
    # Only the terms that matter: a miner may have found a million blocks.
    middle, span = int(expected), _SUMMED * (math.isqrt(int(expected)) + 2)
    numbers = range(max(0, min(found, middle) - span), min(found, middle + span) + 1)
    # Each term by its logarithm: e^-expected alone would be 0 from 745 on.
    logs = (number * math.log(expected) - expected - math.lgamma(number + 1) for number in numbers)
    return min(1.0, math.fsum(math.exp(each) for each in logs))


def withholds(expected: float, found: int) -> bool:
    """Whether a miner has handed in too few blocks for its credit."""
    return chance_of_so_few(expected, found) < WITHHELD
