"""The order in which tests begin."""

import pytest

from tests.support.order import arranged, kind


@pytest.mark.parametrize(
    ("path", "fixtures", "expected"),
    [
        ("browser/test_live.py", ["browser", "tab"], 0),
        ("integration/http/test_server.py", ["shared_node"], 1),
        ("integration/launch/test_up.py", [], 2),
        ("network/test_http.py", [], 3),
        ("integration/worker/test_life.py", [], 4),
        ("integration/http/test_server.py", [], None),
        ("unit/shared/test_merkle.py", [], -1),
    ],
)
def test_the_kinds(path: str, fixtures: list[str], expected: int | None) -> None:
    assert kind(path, fixtures) == expected


@pytest.mark.parametrize("processes", [1, 2, 3, 4, 7])
def test_long_ones_begin_each_process_and_short_ones_end_it(processes: int) -> None:
    kinds = [0] * 2 + [1] * 3 + [2] * 5 + [3] * 5 + [4] * 3 + [None] * 20 + [-1] * 60
    items = list(enumerate(kinds[::3] + kinds[1::3] + kinds[2::3]))
    found = arranged(items, lambda item: item[1], processes)
    assert sorted(item[0] for item in found) == list(range(len(items)))
    for one in {item[1] for item in items}:
        assert [item for item in found if item[1] == one] == [item for item in items if item[1] == one]
    left = found
    for number in range(processes):
        size = len(left) // (processes - number)
        stretch, left = left[:size], left[size:]
        assert stretch[-1][1] == -1
        assert (stretch[0][1] is None) == (number >= 5), "every process begins with a long one, while there are any"
