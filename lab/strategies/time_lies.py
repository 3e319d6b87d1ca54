"""False timestamps, by which miners try to change the difficulty.

Liars act together and know the true hash rate and time, so each figure is a bound for liars who know less.
"""

from collections.abc import Callable

from lab.strategies.honest import Honest
from lab.strategy import Times
from shared.block import Header
from shared.difficulty import next_difficulty

Lie = Callable[[Times], int]


class TimeLiar(Honest):
    """Publishes each block at once, with a timestamp chosen by `lie`: one of `LIES` by its name, or a function."""

    name = "lies about time"

    def __init__(self, lie: str | Lie = "as far back as allowed") -> None:
        self._lie = LIES[lie] if isinstance(lie, str) else lie

    def timestamp(self, times: Times) -> int:
        return max(min(self._lie(times), times.latest), times.earliest)


def after(times: Times, stamp: int, honest: int) -> list[int]:
    """The difficulties of the next blocks, if this one has the timestamp `stamp` and `honest` honest blocks follow."""
    window = list(times.window)
    difficulty = next_difficulty(window, times.spec)
    found = []
    for step in range(honest + 1):
        time = stamp if step == 0 else times.now + step * times.spec.block_interval
        window.append(Header(window[-1].index + 1, time, "", difficulty, "", 0, ""))
        difficulty = next_difficulty(window, times.spec)
        found.append(difficulty)
    return found


def _choices(times: Times) -> list[int]:
    """Timestamps worth trying: both limits, the truth, and those at which the difficulty rule changes its result."""
    cap = times.newest + 6 * times.spec.block_interval
    tried = {times.earliest, times.now, times.latest, (times.now + times.latest) // 2, times.newest + 1, cap, cap + 1}
    return sorted(stamp for stamp in tried if times.earliest <= stamp <= times.latest)


def _greedy(sign: int, honest: int) -> Lie:
    """The timestamp with the least (`sign` 1) or greatest (-1) sum of the difficulties that follow."""
    return lambda times: min(_choices(times), key=lambda stamp: sign * sum(after(times, stamp, honest)))


def _by_height(period: int, ahead: int) -> Lie:
    """Ahead at the first `ahead` of every `period` heights, else back."""
    return lambda times: times.latest if times.height % period < ahead else times.earliest


def _lose_time(times: Times) -> int:
    """Ahead only if the rule cuts the solve time off at six intervals, so that the rest of it is lost; else back."""
    return times.latest if times.latest - times.newest > 6 * times.spec.block_interval else times.earliest


def _raise_median(times: Times) -> int:
    """Ahead until the median lies ahead of the true time; then back, to use the gap."""
    ahead = sum(int(header.timestamp) > times.now for header in times.window[-11:])
    return times.latest if ahead < 6 else times.earliest


LIES: dict[str, Lie] = {
    "the truth": lambda times: times.now,
    "as far ahead as allowed": lambda times: times.latest,
    "half as far ahead as allowed": lambda times: (times.now + times.latest) // 2,
    "as far back as allowed": lambda times: times.earliest,
    "ahead and back by turns": _by_height(2, 1),
    "ahead when the parent is not, else back": lambda times: (
        times.latest if times.parent.timestamp <= times.now else times.earliest
    ),
    "back when the parent is not, else ahead": lambda times: (
        times.earliest if times.parent.timestamp >= times.now else times.latest
    ),
    "ahead while blocks come too slowly, else back": lambda times: (
        times.latest if times.parent.difficulty > times.right else times.earliest
    ),
    "back while blocks come too slowly, else ahead": lambda times: (
        times.earliest if times.parent.difficulty > times.right else times.latest
    ),
    "bursts: 6 heights of 12 ahead": _by_height(12, 6),
    "half the window ahead, half back": _by_height(60, 30),
    "one window ahead, one back": _by_height(120, 60),
    "three windows ahead, three back": _by_height(360, 180),
    "ahead at the window's edge only": lambda times: times.latest if times.height % 60 in (0, 1) else times.now,
    "back at the window's edge only": lambda times: times.earliest if times.height % 60 in (0, 1) else times.now,
    "raise the median, then fall back": _raise_median,
    "one second past the newest": lambda times: times.newest + 1,
    "lose time at the cap of six intervals": _lose_time,
    "lose time at the cap, else the truth": lambda times: max(times.now, _lose_time(times)),
    "least next difficulty": _greedy(1, 0),
    "greatest next difficulty": _greedy(-1, 0),
    "least of the next two": _greedy(1, 1),
    "greatest of the next two": _greedy(-1, 1),
    "least of the next ten": _greedy(1, 9),
    "greatest of the next ten": _greedy(-1, 9),
}
