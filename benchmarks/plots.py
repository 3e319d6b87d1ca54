"""Plots of results as PNG files, each with machine, date and commit. Needs matplotlib, in the extra `bench`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

from benchmarks.report import Plot, Result, number

matplotlib.use("Agg")  # before pyplot looks for a display
from matplotlib import pyplot

BARS = 1  # points: a series of one is drawn as a bar


def write(results: Sequence[Result], where: dict[str, Any], directory: Path) -> list[Path]:
    """Write all plots of the results; their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    foot = f"{where['processor']}, {where['cores']} cores · {where['date']} · commit {where['commit']}"
    return [_write(plot, foot, directory) for result in results for plot in result.plots]


def _write(plot: Plot, foot: str, directory: Path) -> Path:
    figure, axes = pyplot.subplots(figsize=(7, 4))
    if all(len(series.x) == BARS for series in plot.series):
        labels, heights = [series.label for series in plot.series], [series.y[0] for series in plot.series]
        bars = axes.bar(labels, heights, width=0.5)
        axes.bar_label(bars, [number(height) for height in heights], padding=3)
        axes.margins(y=0.15)
    elif plot.kinds:
        width = 0.8 / len(plot.series)
        for place, series in enumerate(plot.series):
            places = [kind - 0.4 + (place + 0.5) * width for kind in range(len(plot.kinds))]
            bars = axes.bar(places, series.y, width=width, label=series.label)
            axes.bar_label(bars, [number(height) for height in series.y], padding=2, fontsize=7)
        axes.set_xticks(range(len(plot.kinds)), plot.kinds)
        axes.legend(frameon=False)
    else:
        for series in plot.series:
            marker = "o" if len(series.x) < 20 else ""
            axes.plot(series.x, series.y, label=series.label, marker=marker)
        axes.legend(frameon=False)
        axes.grid(alpha=0.3)
        if plot.logarithmic:
            axes.set_xscale("log")
    if plot.logarithmic:
        axes.set_yscale("log")
    axes.set(title=plot.title, xlabel=plot.x_label, ylabel=plot.y_label)
    axes.spines[["top", "right"]].set_visible(False)
    figure.text(0.01, 0.01, foot, fontsize=6, color="0.4")
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    path = directory / f"{plot.file}.png"
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
    return path
