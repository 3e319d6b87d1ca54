"""Strategies of miners who write false timestamps into their blocks, for `benchmarks.timestamps`.

All liars act together and know the true hash rate and time, so each figure is a bound for liars who know less.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared.block import Header
from shared.chain_spec import ChainSpec
from shared.difficulty import next_difficulty


@dataclass(frozen=True)
class View:
    """What a liar knows when it has found a block. Times are Unix seconds."""

    window: Sequence[Header]  # ends at the parent
    now: int  # the true time
    earliest: int  # the lowest timestamp that the rules allow: the median of the last 11
    latest: int  # the highest timestamp that honest nodes accept now
    right: float  # the difficulty at which blocks come at the interval
    spec: ChainSpec

    @property
    def parent(self) -> Header:
        return self.window[-1]

    @property
    def height(self) -> int:
        """The height of the block that gets the timestamp."""
        return self.parent.index + 1

    @property
    def newest(self) -> int:
        """The highest timestamp of the last 12 blocks."""
        return max(int(header.timestamp) for header in self.window[-12:])


Lie = Callable[[View], int]


def after(view: View, stamp: int, honest: int) -> list[int]:
    """The difficulties of the next blocks, if this one has the timestamp `stamp` and `honest` honest blocks follow."""
    window = list(view.window)
    difficulty = next_difficulty(window, view.spec)
    found = []
    for step in range(honest + 1):
        time = stamp if step == 0 else view.now + step * view.spec.block_interval
        window.append(Header(window[-1].index + 1, time, "", difficulty, "", 0, ""))
        difficulty = next_difficulty(window, view.spec)
        found.append(difficulty)
    return found


def _choices(view: View) -> list[int]:
    """Timestamps worth trying: both limits, the truth, and those at which the difficulty rule changes its result."""
    cap = view.newest + 6 * view.spec.block_interval
    tried = {view.earliest, view.now, view.latest, (view.now + view.latest) // 2, view.newest + 1, cap, cap + 1}
    return sorted(stamp for stamp in tried if view.earliest <= stamp <= view.latest)


def _greedy(sign: int, honest: int) -> Lie:
    """The timestamp with the least (`sign` 1) or greatest (-1) sum of the difficulties that follow."""
    return lambda view: min(_choices(view), key=lambda stamp: sign * sum(after(view, stamp, honest)))


def _by_height(period: int, ahead: int) -> Lie:
    """Ahead at the first `ahead` of every `period` heights, else back."""
    return lambda view: view.latest if view.height % period < ahead else view.earliest


def _lose_time(view: View) -> int:
    """Ahead only if the rule cuts the solve time off at six intervals, so that the rest of it is lost; else back."""
    return view.latest if view.latest - view.newest > 6 * view.spec.block_interval else view.earliest


def _raise_median(view: View) -> int:
    """Ahead until the median lies ahead of the true time; then back, to use the gap."""
    ahead = sum(int(header.timestamp) > view.now for header in view.window[-11:])
    return view.latest if ahead < 6 else view.earliest


STRATEGIES: dict[str, Lie] = {
    "the truth": lambda view: view.now,
    "as far ahead as allowed": lambda view: view.latest,
    "half as far ahead as allowed": lambda view: (view.now + view.latest) // 2,
    "as far back as allowed": lambda view: view.earliest,
    "ahead and back by turns": _by_height(2, 1),
    "ahead when the parent is not, else back": lambda view: (
        view.latest if view.parent.timestamp <= view.now else view.earliest
    ),
    "back when the parent is not, else ahead": lambda view: (
        view.earliest if view.parent.timestamp >= view.now else view.latest
    ),
    "ahead while blocks come too slowly, else back": lambda view: (
        view.latest if view.parent.difficulty > view.right else view.earliest
    ),
    "back while blocks come too slowly, else ahead": lambda view: (
        view.earliest if view.parent.difficulty > view.right else view.latest
    ),
    "bursts: 6 heights of 12 ahead": _by_height(12, 6),
    "half the window ahead, half back": _by_height(60, 30),
    "one window ahead, one back": _by_height(120, 60),
    "three windows ahead, three back": _by_height(360, 180),
    "ahead at the window's edge only": lambda view: view.latest if view.height % 60 in (0, 1) else view.now,
    "back at the window's edge only": lambda view: view.earliest if view.height % 60 in (0, 1) else view.now,
    "raise the median, then fall back": _raise_median,
    "one second past the newest": lambda view: view.newest + 1,
    "lose time at the cap of six intervals": _lose_time,
    "lose time at the cap, else the truth": lambda view: max(view.now, _lose_time(view)),
    "least next difficulty": _greedy(1, 0),
    "greatest next difficulty": _greedy(-1, 0),
    "least of the next two": _greedy(1, 1),
    "greatest of the next two": _greedy(-1, 1),
    "least of the next ten": _greedy(1, 9),
    "greatest of the next ten": _greedy(-1, 9),
}
