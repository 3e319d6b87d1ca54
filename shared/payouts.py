"""Payouts: how the reward of a block is divided among those whose shares led to it (PPLNS: pay per last N shares).

Amounts are base units, credit is hashes. All of it is integers, so everybody who knows the credit gets the same result.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

# What the operator's part of a reward is counted in.
WHOLE: Final = 10_000


def split(
    reward: int, credits: Iterable[tuple[str, int]], *, kept: int = 0, cost: int = 0, least: int = 1
) -> dict[str, int]:
    """What each address is sent of a block's reward, in the order of the addresses.

    A part is reward × (1 - kept / WHOLE) × credit / all credit, rounded down. The transaction that pays it costs the
    recipient `cost`. What is not sent stays with the node: roundings, the parts of those who gave no address, and parts
    that would be below `least`.

    Args:
        reward: of the block, with its fees; >= 0.
        credits: address and hashes, in any order; an address may come several times. "": whose work has no address.
        kept: the operator's part, in ten-thousandths; 0 to WHOLE.
        cost: the fee of one payment; >= 0.
        least: that is sent to anybody; >= 1.
    """
    sums: Counter[str] = Counter()
    for address, credit in credits:
        sums[address] += max(0, credit)
    total, shared = sums.total(), reward * (WHOLE - kept) // WHOLE
    sent = {address: shared * credit // total - cost for address, credit in sorted(sums.items()) if credit}
    return {address: amount for address, amount in sent.items() if address and amount >= least}
