"""The steps that are kept for subscribers who have not caught up."""

from api.door.backlog import Backlog, Step


def _steps(count: int, size: int = 10) -> list[Step]:
    return [Step("attached", head=b"x" * size) for _ in range(count)]


def test_steps_have_numbers_and_the_oldest_go_first() -> None:
    backlog = Backlog(steps=3)
    first = _steps(2)
    backlog.add(first)
    assert (backlog.first, backlog.end, backlog[0], backlog[1]) == (0, 2, first[0], first[1])
    more = _steps(2)
    backlog.add(more)
    assert (backlog.first, backlog.end, backlog[1], backlog[3]) == (1, 4, first[1], more[1])


def test_what_is_added_together_stays_whole() -> None:
    backlog = Backlog(steps=3)
    backlog.add(_steps(2))
    backlog.add(_steps(10))
    assert (backlog.first, backlog.end) == (2, 12)
    backlog.add(_steps(1))
    assert (backlog.first, backlog.end) == (10, 13)


def test_bytes_are_bounded() -> None:
    backlog = Backlog(size=100)
    for _ in range(20):
        backlog.add(_steps(1, 30))
    assert backlog.end - backlog.first == 3
    whole = Step("pending", hashes=[b"ab"], whole=[b"cdef"])
    assert whole.size == 6
