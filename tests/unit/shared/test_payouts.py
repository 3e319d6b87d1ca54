"""How a reward is divided. The vectors are frozen."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.payouts import WHOLE, split

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "payouts.json").read_text("utf-8"))
CREDITS = st.lists(st.tuples(st.sampled_from(["", "a", "b", "c", "d"]), st.integers(0, 2**53)), max_size=12)
REWARDS, KEPT, COSTS = st.integers(0, 2**100), st.integers(0, WHOLE), st.integers(0, 2**60)


@pytest.mark.parametrize("vector", VECTORS, ids=[item["what"] for item in VECTORS])
def test_vectors(vector: dict[str, Any]) -> None:
    found = split(
        int(vector["reward"]),
        [(address, credit) for address, credit in vector["credits"]],
        kept=vector["kept"],
        cost=int(vector["cost"]),
        least=int(vector["least"]),
    )
    assert found == {address: int(amount) for address, amount in vector["sent"].items()}
    assert list(found) == sorted(found)


@given(REWARDS, CREDITS, KEPT, COSTS, st.integers(1, 2**60))
def test_nothing_is_made_and_nobody_loses(
    reward: int, credits: list[tuple[str, int]], kept: int, cost: int, least: int
) -> None:
    sent = split(reward, credits, kept=kept, cost=cost, least=least)
    shared = Fraction(reward * (WHOLE - kept), WHOLE)
    assert sum(sent.values()) + cost * len(sent) <= shared <= reward
    total = sum(credit for _, credit in credits)
    for address, amount in sent.items():
        credit = sum(item for name, item in credits if name == address)
        assert address and credit > 0 and amount >= least
        assert 0 <= shared * credit / total - cost - amount < 2  # both divisions round down


@given(REWARDS, CREDITS.flatmap(lambda items: st.tuples(st.just(items), st.permutations(items))))
def test_the_order_does_not_matter(reward: int, orders: tuple[list[tuple[str, int]], list[tuple[str, int]]]) -> None:
    one, other = (list(split(reward, items).items()) for items in orders)
    assert one == other


def test_ten_thousand_shares() -> None:
    reward = 5 * 10**18
    sent = split(reward, [(f"m{number % 700:03}", 1 + number % 13) for number in range(10_000)])
    assert len(sent) == 700 and reward - 700 < sum(sent.values()) <= reward
