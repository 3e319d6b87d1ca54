"""Fork choice is a strict order: in whatever sequence chains are compared, the same one wins."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.forkchoice import TipClaim, is_better

claims = st.builds(TipClaim, st.integers(0, 4) | st.integers(0, 2**300), st.sampled_from(["0a", "0b", "a0", "ff"]))


def test_more_work_wins_whatever_the_hash() -> None:
    assert is_better(TipClaim(2, "ff"), TipClaim(1, "00"))
    assert not is_better(TipClaim(1, "00"), TipClaim(2, "ff"))


def test_a_tie_goes_to_the_lower_hash() -> None:
    assert is_better(TipClaim(1, "0a"), TipClaim(1, "0b"))
    assert not is_better(TipClaim(1, "0b"), TipClaim(1, "0a"))


def test_a_chain_does_not_replace_itself() -> None:
    assert not is_better(TipClaim(1, "0a"), TipClaim(1, "0a"))


@settings(max_examples=200, derandomize=True)
@given(st.lists(claims, min_size=1, max_size=4, unique=True))
def test_all_nodes_end_at_the_same_tip_in_whatever_order_they_hear_of_them(seen: list[TipClaim]) -> None:
    ends = set()
    for order in itertools.permutations(seen):
        tip = order[0]
        for claim in order[1:]:
            tip = claim if is_better(claim, tip) else tip
        ends.add(tip)
    assert len(ends) == 1
