"""Figures of a block tree."""

import pytest

from lab.interface import LabBlock, LabError
from lab.measures import main_chain, require_at_least, revenue_share, stale_share

#        b (1) - d (1)
# a <
#        c (2)
A = LabBlock("a", "-", 1, 0, None, 0.0, 0.0)
B = LabBlock("b", "a", 2, 5, 1, 1.0, 1.0)
C = LabBlock("c", "a", 2, 5, 2, 1.0, 1.0)
D = LabBlock("d", "b", 3, 10, 1, 2.0, 2.0)


def test_the_main_chain_has_the_most_work() -> None:
    assert [block.hash for block in main_chain([A, C, B, D])] == ["a", "b", "d"]


def test_of_equal_tips_the_lower_hash_is_preferred() -> None:
    assert [block.hash for block in main_chain([A, C, B])] == ["a", "b"]


def test_revenue_and_stale_blocks_leave_genesis_out() -> None:
    assert revenue_share([A, B, C, D], 1) == 1.0
    assert revenue_share([A, B, C, D], 2) == 0.0
    assert stale_share([A, B, C, D]) == 1 / 3


def test_a_parameter_that_is_too_small_is_refused_by_its_name() -> None:
    require_at_least(1, z=1, blocks=7)
    with pytest.raises(LabError, match=r"^z is at least 1, not 0\.5\.$"):
        require_at_least(1, blocks=1, z=0.5)


def test_a_chain_that_is_only_genesis_has_no_shares() -> None:
    assert (revenue_share([A], 1), stale_share([A])) == (0.0, 0.0)
