"""Tables that fit the terminal: a line of titles, and a line for each row."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from api.cli import terminal

_GAP = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Args:
        extra: whether it is left out where the table is too wide.
        least: columns to which it may be cut where the table is too wide all the same; 0: it is never cut.
        right: whether its texts are at its right end, as numbers are.
    """

    title: str
    least: int = 0
    extra: bool = False
    right: bool = False


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], most: int | None = None) -> list[str]:
    """The lines of a table: titles first, then the rows.

    Args:
        most: columns that it may take; None: those of standard output. Where that has no width, nothing is cut or left
            out.
    """
    shown = list(range(len(columns)))
    most = most or terminal.width()
    natural = [
        max([terminal.cells(column.title), *(terminal.cells(terminal.safe(row[place])) for row in rows)])
        for place, column in enumerate(columns)
    ]
    while most is not None and _total([natural[place] for place in shown]) > most:
        extras = [place for place in shown if columns[place].extra]
        if not extras:
            break
        shown.remove(extras[-1])
    widths = _widths([columns[place] for place in shown], [natural[place] for place in shown], most)
    chosen = [columns[place] for place in shown]
    lines = [[column.title for column in chosen], *([row[place] for place in shown] for row in rows)]
    return [_line(chosen, widths, texts) for texts in lines]


def that_fit(number: int, everything: bool, *, besides: int = 1) -> int:
    """How many of so many rows a list shows: all, or where the terminal is too low, as many as fit it.

    Args:
        everything: whether all were asked for.
        besides: further lines, the titles among them.
    """
    most = terminal.rows()
    if everything or most is None or number + besides <= most:
        return number
    return max(1, most - besides - 1)  # one more line says how many are left


def rest(shown: int, number: int) -> list[str]:
    """The line below a list that does not show everything; none if it does."""
    return [] if shown == number else [f"The first {shown:,} of {number:,}; --all shows all."]


def beside(left: Sequence[str], right: Sequence[str]) -> list[str]:
    """Two blocks of lines side by side; the lines are made safe to print."""
    width = max((terminal.cells(terminal.safe(line)) for line in left), default=0)
    lines = []
    for one, other in zip_longest(map(terminal.safe, left), map(terminal.safe, right), fillvalue=""):
        lines.append(f"{one}{' ' * (width - terminal.cells(one))}   {other}".rstrip(" "))
    return lines


def _widths(columns: Sequence[Column], natural: Sequence[int], most: int | None) -> list[int]:
    """The width of each column; those that may be cut give up what is missing, the widest first."""
    widths = list(natural)
    while most is not None and _total(widths) > most:
        able = [place for place, column in enumerate(columns) if column.least and widths[place] > column.least]
        if not able:
            break
        widest = max(able, key=lambda place: widths[place])
        widths[widest] = max(columns[widest].least, widths[widest] - (_total(widths) - most))
    return widths


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _line(columns: Sequence[Column], widths: Sequence[int], texts: Sequence[str]) -> str:
    cells = []
    for column, width, text in zip(columns, widths, texts, strict=True):
        shown = terminal.cut(text, width) if column.least else terminal.safe(text)
        blank = " " * max(0, width - terminal.cells(shown))
        cells.append(blank + shown if column.right else shown + blank)
    return _GAP.join(cells).rstrip(" ")
