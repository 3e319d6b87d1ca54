"""Progress on standard error, only if that is a terminal."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from api.cli.terminal import MAX_LINE
from services.system.quantities import hashes_text, rate_text, time_left
from services.system.visible import escaped

MANY = 50  # accounts that are asked for one by one, from which on a progress bar is shown


@contextmanager
def bar(label: str, *, quiet: bool = False, unit: str = "") -> Iterator[Callable[[int, int], None]]:
    """A function `(done, total)` that moves a progress bar; without a terminal, one that does nothing."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label)
        yield lambda done, total: progress.update(task, completed=done, total=max(total, done))


@contextmanager
def line(*, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """A function that replaces the text of one live line; without a terminal, one that does nothing."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console
    from rich.text import Text

    # As `Text`, since rich reads brackets in a plain string as markup.
    with Console(stderr=True).status("…") as status:
        yield lambda text: status.update(Text(escaped(text, MAX_LINE)))


def round_text(found: Mapping[str, Any]) -> str:
    """The figures of a round, as `/rounds/{id}` gives them."""
    count = len(found["workers"])
    workers = f"{count} worker{'' if count == 1 else 's'}"
    text = f"{hashes_text(found['hashes'])} hashes, {rate_text(found['rate'])} by {workers}"
    left = found.get("expected_seconds")
    return text if left is None else f"{text}, {time_left(left)} expected"
