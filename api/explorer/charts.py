"""Charts, as numbers for inline SVG. They need neither scripts nor a library, and suit both colour schemes."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from api.explorer import text
from services.store.figures import round_figures
from services.store.records import StoredHeader
from services.store.rounds import Round
from services.system.quantities import rate_text

# Size of the drawing in its own units. It has no labels, so that it can be stretched.
WIDTH, HEIGHT = 600, 120
# Blocks over which the hash rate is averaged: a single interval says almost nothing.
_WINDOW = 10
# Bars are cut at this many medians, since one idle night would flatten all others. The difficulty rule cuts there too.
_CLIP = 6
# Intervals that a pause counts as in the hash rate of the chain, as in the difficulty rule (shared/difficulty.py).
_LONGEST_PAUSE = 6


@dataclass(frozen=True, slots=True)
class Bar:
    """One block or round."""

    x: float
    y: float
    width: float
    height: float
    label: str
    clipped: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """One line of the legend."""

    kind: Literal["bar", "clipped", "line"]
    words: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One drawing: either bars or a line."""

    title: str
    figure: str  # the result in words
    top: str  # the value at the upper edge; the lower edge is 0
    first: int  # heights at the left and the right end
    last: int
    legend: tuple[Mark, ...]
    bars: tuple[Bar, ...] = ()
    line: str = ""  # points of a polyline
    area: str = ""  # points of a polygon: the line, closed at the lower edge


def block_times(headers: Sequence[StoredHeader]) -> Chart | None:
    """Seconds between blocks. `headers` are consecutive, oldest first. None if there are too few."""
    intervals = _intervals(headers)
    if not intervals:
        return None
    median = statistics.median(intervals)
    top = max(1.0, min(max(intervals), _CLIP * max(median, 1.0)))
    labels = [
        f"Block {stored.header.index}: {text.span(seconds)}"
        for stored, seconds in zip(headers[1:], intervals, strict=True)
    ]
    legend = [Mark("bar", "a block: the time since the block before it")]
    if max(intervals) > top:
        legend.append(Mark("clipped", f"longer than {text.span(top)}, cut off"))
    return Chart(
        "Time between blocks", f"median {text.span(median)}", text.span(top),
        headers[1].header.index, headers[-1].header.index, tuple(legend), bars=_bars(intervals, top, labels),
    )  # fmt: skip


def hash_rate(headers: Sequence[StoredHeader], interval: int) -> Chart | None:
    """The hash rate implied by difficulties and times, averaged over some blocks. None if there are too few.

    Only where the difficulty follows the hash rate: elsewhere, the times say when somebody wanted a block.

    Args:
        interval: seconds between two blocks that the chain spec aims at.
    """
    pause = _LONGEST_PAUSE * interval
    intervals = [min(seconds, pause) for seconds in _intervals(headers)]
    if len(intervals) < 2:
        return None
    work = [stored.header.difficulty for stored in headers[1:]]
    rates = []
    for end in range(1, len(intervals) + 1):
        start = max(0, end - _WINDOW)
        rates.append(sum(work[start:end]) / max(sum(intervals[start:end]), 1.0))
    top = max(rates)
    step = WIDTH / (len(rates) - 1)
    points = [f"{i * step:.1f},{HEIGHT - (HEIGHT - 4) * value / top:.1f}" for i, value in enumerate(rates)]
    line = " ".join(points)
    words = (
        f"all miners together, estimated from difficulty and time of the last {_WINDOW} blocks; a pause counts as "
        f"{text.span(pause)} at most"
    )
    return Chart(
        "Hash rate of the chain", f"now about {rate_text(rates[-1])}", rate_text(top),
        headers[1].header.index, headers[-1].header.index, (Mark("line", words),),
        line=line, area=f"0,{HEIGHT} {line} {WIDTH},{HEIGHT}",
    )  # fmt: skip


def round_speeds(rounds: Sequence[Round]) -> Chart | None:
    """The speed of this node's workers in its last rounds, oldest first. None if there are too few.

    Idle time is not in it: a round is open only while workers are wanted.
    """
    speeds = [(item.height, round_figures(item, {}, 0.0).rate) for item in rounds]
    searched = [(height, speed) for height, speed in speeds if speed]
    if len(searched) < 2:
        return None
    top = max(speed for _, speed in searched)
    labels = [f"Block {height}: {rate_text(speed)}" for height, speed in searched]
    median = statistics.median(speed for _, speed in searched)
    return Chart(
        "Speed of this node's rounds", f"median {rate_text(median)}", rate_text(top),
        searched[0][0], searched[-1][0],
        (Mark("bar", "a round: its hashes divided by the time for which it was open; idle time is left out"),),
        bars=_bars([float(speed) for _, speed in searched], float(top), labels),
    )  # fmt: skip


def _bars(values: Sequence[float], top: float, labels: Sequence[str]) -> tuple[Bar, ...]:
    """One bar for each value, side by side. Values above `top` are cut there."""
    step = WIDTH / len(values)
    bars = []
    for position, (value, label) in enumerate(zip(values, labels, strict=True)):
        height = max(round(HEIGHT * min(value, top) / top, 1), 2.0)
        bars.append(
            Bar(
                round(position * step, 1), round(HEIGHT - height, 1), round(step * 0.72, 1), height, label, value > top
            )
        )  # fmt: skip
    return tuple(bars)


def _intervals(headers: Sequence[StoredHeader]) -> list[float]:
    """Seconds between consecutive headers, never below zero."""
    times = [float(stored.header.timestamp) for stored in headers]
    return [max(after - before, 0.0) for before, after in pairwise(times)]
