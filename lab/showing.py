"""How the commands of the lab show scenarios and verdicts to a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from api.cli.table import Column, table
from lab.loading import Scenario
from lab.verdicts import Verdict

_TAKES = "--set"


def listed(scenarios: Sequence[Scenario]) -> Iterator[str]:
    """The lines of a list of scenarios. What `--set` may change is below each where the terminal is too narrow."""
    rows = [
        (each.name, each.summary, " ".join(f"{key}={value}" for key, value in each.parameters.items()))
        for each in scenarios
    ]
    columns = [Column("SCENARIO"), Column("WHAT IT SHOWS", least=20), Column(_TAKES, extra=True)]
    titles, *lines = table(columns, rows)
    yield titles
    for line, (_, _, parameters) in zip(lines, rows, strict=True):
        yield line
        if not titles.endswith(_TAKES):
            yield f"  {_TAKES}: {parameters}"


def figures(verdict: Verdict) -> str:
    """A verdict's claim and its figures on one line."""
    if verdict.value is None:
        return verdict.claim
    text = f"{verdict.claim}: {verdict.value:.4g}"
    if verdict.low is not None and verdict.high is not None:
        text += f" (95 %: {verdict.low:.4g} to {verdict.high:.4g})"
    return text if verdict.expected is None else f"{text}, expected {verdict.expected:.4g}"
