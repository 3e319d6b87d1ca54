"""What is the same in every world: the groups of a partition."""

import pytest

from lab.interface import LabError, parts_of


def test_nodes_that_are_not_named_are_a_group_of_their_own() -> None:
    assert parts_of(4, [[2, 1]]) == [[1, 2], [3, 4]]
    assert parts_of(4, [[1], range(2, 5)]) == [[1], [2, 3, 4]]
    assert parts_of(3, [[], [3]]) == [[3], [1, 2]]
    assert parts_of(2, []) == [[1, 2]]


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ([[0]], "There is no node 0: this lab has the nodes 1 to 3."),
        ([[1], [4]], "There is no node 4"),
        ([[1], [1, 2]], "in one group of a partition only"),
        ([[2, 2]], "in one group of a partition only"),
    ],
)
def test_a_partition_that_cannot_be(groups: list[list[int]], said: str) -> None:
    with pytest.raises(LabError, match=said):
        parts_of(3, groups)
