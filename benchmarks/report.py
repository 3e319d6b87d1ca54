"""The results of a benchmark: figures with their targets, and series for plots."""

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Args:
        name: "group.key", as in the output of --json.
        than: what it is compared with, in a few words.
    """

    name: str
    value: float
    unit: str
    target: float | None = None
    better: Literal["higher", "lower"] = "higher"
    than: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target was met, or None without a target."""
        if self.target is None:
            return None
        return self.value >= self.target if self.better == "higher" else self.value <= self.target

    def line(self) -> str:
        """A line of text: figure, target, verdict, comparison."""
        text = f"  {self.name:<42} {number(self.value):>12} {self.unit:<14}"
        if self.target is not None:
            sign = "≥" if self.better == "higher" else "≤"
            text += f" {sign} {number(self.target):<10} {'met' if self.met else 'MISSED':<7}"
        elif self.than:
            text += " " * 21
        return f"{text} {self.than}".rstrip()


@dataclass(frozen=True)
class Series:
    """Points of a plot."""

    label: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Plot:
    """A plot of a result: lines, or bars if there are `kinds` or each series has one point."""

    file: str  # name without suffix
    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    logarithmic: bool = False
    kinds: Sequence[str] = ()  # labels of the points of each series


@dataclass
class Result:
    """What one benchmark measured."""

    name: str
    figures: list[Figure] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, value: float, unit: str, **about: Any) -> None:
        self.figures.append(Figure(f"{self.name}.{name}", value, unit, **about))

    def text(self) -> str:
        lines = [self.name, *(figure.line() for figure in self.figures), *(f"  {note}" for note in self.notes)]
        return "\n".join(lines)


def number(value: float) -> str:
    """A number for people: at least three digits, thousands with commas, no needless decimals."""
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:,.2f}" if abs(value) >= 1 else f"{value:.3g}"


def machine() -> dict[str, Any]:
    """Where and when the benchmarks run: date, processor, cores, load, system, Python, commit."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "commit": _commit(),
    }


def as_json(results: Sequence[Result], where: dict[str, Any]) -> dict[str, Any]:
    """The document of --json: {group: {key: value}}, and under "figures" each figure with its target."""
    document: dict[str, Any] = {"machine": where, "figures": {}}
    for result in results:
        for figure in result.figures:
            group, _, key = figure.name.partition(".")
            document.setdefault(group, {})[key] = round(figure.value, 4)
            document["figures"][figure.name] = {**asdict(figure), "met": figure.met}
    return document


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).resolve().parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
