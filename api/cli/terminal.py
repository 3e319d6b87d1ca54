"""The one module through which the commands print and ask.

What a command prints may hold text from outside: from the chain, a node, a peer or a file. So every line goes through
`escaped`, which shows control characters instead of sending them to the terminal. A line break inside a line is one of
them, so each line is an argument of its own. A test keeps `click.echo`, `print` and the standard streams out of the
other modules.
"""

import contextlib
import errno
import json
import os
import re
import select
import shutil
import sys
import traceback
import unicodedata
from collections.abc import Sequence
from typing import IO, Any

import click

from services.system.visible import escaped

# The beginning of a line that is folded: blanks, and a dash or a label.
_HEAD = re.compile(r" *(?:- |\S+(?: \S+)? {2,})?")
# Characters. The longest line that the commands need has some 600, in a signature.
MAX_LINE = 4000
_NARROWEST = 20  # columns; a terminal that says it has fewer gets lines of as many
_LOWEST = 10  # rows, likewise


def show(*lines: str, mark: str = "", colour: str | None = None) -> None:
    """Print lines to standard output, folded where they are wider than it (`width`).

    Args:
        mark: a word before the first line, in `colour` if the terminal has colours. It is not escaped.
    """
    first, *others = _fitting((mark + lines[0] if lines else mark, *lines[1:]))
    _write([first.removeprefix(mark), *others], mark and click.style(mark, fg=colour))


def say(*lines: str) -> None:
    """Print lines to standard error, folded likewise: messages that are not the result."""
    _write(_fitting(lines, err=True), err=True)


def tell(line: str) -> None:
    """Print a line to standard output, or to standard error if the first is full or closed.

    For reports after which the command must go on, such as that a transaction was sent.
    """
    try:
        show(line)
    except OSError:
        say(line)


def show_json(value: Any) -> None:
    """Print a value as JSON, on one line of ASCII: all other characters are escaped."""
    _write([json.dumps(value)])


def show_secret(text: str) -> None:
    """Print a key or keystore that this process made, unescaped."""
    _write([text.removesuffix("\n")])


def standard_output() -> IO[bytes]:
    """Standard output for bytes, such as an exported chain. The caller flushes it."""
    if sys.stdout is None:  # it was closed before this process started
        raise OSError(errno.EBADF, "Standard output is closed")
    return sys.stdout.buffer


def standard_input() -> IO[bytes]:
    """Standard input as bytes."""
    if sys.stdin is None:
        raise OSError(errno.EBADF, "Standard input is closed")
    return sys.stdin.buffer


def is_attended() -> bool:
    """Whether a question can be asked: standard input is a terminal."""
    return sys.stdin is not None and sys.stdin.isatty()


def ask(question: str, *, hidden: bool = False, twice: bool = False) -> str:
    """Ask at the terminal; the line that is typed, "" for Enter alone.

    Raises:
        click.Abort: Ctrl-C, or the terminal was closed.
    """
    answer = click.prompt(
        safe(question), default="", show_default=False, hide_input=hidden, confirmation_prompt=twice, err=True
    )
    return str(answer)


def show_traceback() -> None:
    """Print the traceback of the exception that is being handled, to standard error."""
    _write([safe(line) for line in traceback.format_exc().splitlines()], err=True)


def width(*, err: bool = False) -> int | None:
    """How wide lines may be: COLUMNS if it is set, else the terminal's width.

    None: standard output (`err`: standard error) is no terminal and COLUMNS is not set, so the lines are for a program
    and stay whole.
    """
    given = os.environ.get("COLUMNS", "")
    if given.isascii() and given.isdigit() and int(given):
        return max(_NARROWEST, int(given))
    stream = sys.stderr if err else sys.stdout
    try:
        return max(_NARROWEST, os.get_terminal_size(stream.fileno()).columns) if stream and stream.isatty() else None
    except (OSError, ValueError):
        return None


def columns() -> int:
    """The width of the terminal: COLUMNS, or what the terminal says; 80 if there is none."""
    return max(_NARROWEST, shutil.get_terminal_size().columns)


def rows() -> int | None:
    """How many rows a list may have to be seen as a whole: LINES or the terminal's height, without the shell's own row.

    None: the lines are for a program (`width`), which gets all of them.
    """
    return None if width() is None else max(_LOWEST, shutil.get_terminal_size().lines - 1)


def cells(text: str) -> int:
    """How many columns a text without control characters takes. East Asian characters take two."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(item) else 2 if unicodedata.east_asian_width(item) in "WF" else 1 for item in text
    )


def safe(text: str) -> str:
    """A text made safe to print: every character that would act on the terminal, or hide, is shown by its name."""
    return escaped(text, MAX_LINE)


def cut(text: str, width: int) -> str:
    """A text made safe to print, and cut to so many columns."""
    text = escaped(text, MAX_LINE)
    if cells(text) <= width:
        return text
    while cells(text) > width - 1:
        text = text[: min(width, len(text)) - 1] if len(text) > width else text[:-1]
    return text + "…"


def folded(text: str, width: int, hang: int | None = None) -> list[str]:
    """A text made safe to print, on lines of at most so many columns.

    Args:
        hang: column at which the further lines begin; None: where the first one begins, or after its dash or its label
            (two blanks follow a label).
    """
    text = escaped(text, MAX_LINE)
    if hang is None:
        head = _HEAD.match(text)
        hang = 0 if head is None else head.end()
    indent = " " * min(hang, width // 2)
    lines = []
    begins = hang  # where the words of this line begin; before that it is not broken
    while cells(text) > width:
        end = min(width, len(text))
        while cells(text[:end]) > width:
            end -= 1
        blank = text.rfind(" ", begins + 1, end + 1)
        end = blank if blank > begins else end
        lines.append(text[:end].rstrip(" "))
        text = indent + text[end:].lstrip(" ")
        begins = len(indent)
    return [*lines, text]


def show_if_taken(*lines: str) -> bool:
    """Print lines to standard output if it takes them without a wait. Returns whether it did.

    For a thread that must not stand still while the terminal is paused or nobody reads the pipe: it would keep
    standard output locked. The lines are at most a page of text together (4,096 bytes), which a pipe takes as a whole.

    Raises:
        OSError: standard output is closed or full.
    """
    with contextlib.suppress(ValueError):  # not a stream of the system, or closed: the usual way reports it
        if sys.stdout is not None and not select.select([], [sys.stdout], [], 0)[1]:
            return False
    show(*lines)
    return True


def settle() -> None:
    """Flush the standard streams before the process ends, and discard what a full disk or closed pipe does not take.

    Python would flush again at its exit, fail again, and print a message of its own.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nothing:
                os.dup2(nothing.fileno(), stream.fileno())


def _fitting(lines: Sequence[str], *, err: bool = False) -> list[str]:
    """Lines made safe to print, and folded to the width of the stream."""
    most = width(err=err)
    return [part for line in lines for part in ([safe(line)] if most is None else folded(line, most))]


def _write(lines: list[str], prefix: str = "", *, err: bool = False) -> None:
    stream = sys.stderr if err else sys.stdout
    # A character that the terminal's encoding does not have is printed as an escape.
    encoding = getattr(stream, "encoding", None) or "utf-8"
    text = prefix + "\n".join(lines).encode(encoding, "backslashreplace").decode(encoding)
    # A failure to write to standard error cannot be reported anywhere.
    with contextlib.suppress(OSError) if err else contextlib.nullcontext():
        click.echo(text, err=err)
