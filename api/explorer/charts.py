"""Charts, as numbers for inline SVG. They need neither scripts nor a library, and suit both colour schemes."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from api.explorer import text
from services.store.records import StoredHeader

# Size of the drawing in its own units. It has no labels, so that it can be stretched.
WIDTH, HEIGHT = 600, 120
# Blocks over which the hash rate is averaged: a single interval says almost nothing.
_WINDOW = 10
# Bars are cut at this many medians, since one idle night would flatten all others. The difficulty rule cuts there too.
_CLIP = 6


@dataclass(frozen=True, slots=True)
class Bar:
    """One block."""

    x: float
    y: float
    width: float
    height: float
    label: str
    clipped: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """One drawing: either bars or a line."""

    title: str
    figure: str  # the result in words
    top: str  # the value at the upper edge
    first: int  # heights at the left and the right end
    last: int
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
    step = WIDTH / len(intervals)
    bars = []
    for position, (stored, seconds) in enumerate(zip(headers[1:], intervals, strict=True)):
        height = max(round(HEIGHT * min(seconds, top) / top, 1), 2.0)
        label = f"Block {stored.header.index}: {text.span(seconds)}"
        x = round(position * step, 1)
        bars.append(Bar(x, round(HEIGHT - height, 1), round(step * 0.72, 1), height, label, seconds > top))
    return Chart(
        "Time between blocks", f"median {text.span(median)}", text.span(top),
        headers[1].header.index, headers[-1].header.index, bars=tuple(bars),
    )  # fmt: skip


def hash_rate(headers: Sequence[StoredHeader]) -> Chart | None:
    """The hash rate implied by difficulties and times, averaged over some blocks. None if there are too few."""
    intervals = _intervals(headers)
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
    return Chart(
        "Hash rate of the chain", f"now about {text.rate(rates[-1])}", text.rate(top),
        headers[1].header.index, headers[-1].header.index, line=line, area=f"0,{HEIGHT} {line} {WIDTH},{HEIGHT}",
    )  # fmt: skip


def _intervals(headers: Sequence[StoredHeader]) -> list[float]:
    """Seconds between consecutive headers, never below zero."""
    times = [float(stored.header.timestamp) for stored in headers]
    return [max(after - before, 0.0) for before, after in pairwise(times)]
