"""The one place where the commands write to and ask at a terminal.

Whatever a command prints may hold text from outside: from the chain, a node, a peer, a file. So every line goes through
`escaped`, and a line break inside a line is such a character too: several lines are several arguments. A test keeps
`click.echo`, `print` and the standard streams out of the other modules.
"""

import contextlib
import errno
import json
import os
import sys
import traceback
from typing import IO, Any

import click

from services.system.visible import escaped

# Characters of one line. The longest that the commands print by themselves is a signature of some 600.
MAX_LINE = 4000


def show(*lines: str, mark: str = "", colour: str | None = None) -> None:
    """Print lines to standard output.

    Args:
        mark: our own word in front of the first, in `colour` where the terminal has colours.
    """
    _write([_line(line) for line in lines], mark and click.style(mark, fg=colour))


def say(*lines: str) -> None:
    """Print lines to standard error: for people, beside the result."""
    _write([_line(line) for line in lines], err=True)


def tell(line: str) -> None:
    """Print a line that must not keep what follows from being done, even where standard output is full or closed."""
    try:
        show(line)
    except OSError:
        say(line)


def show_json(value: Any) -> None:
    """Print a value for machines, on one line of ASCII: JSON's escapes name every other character."""
    _write([json.dumps(value)])


def show_secret(text: str) -> None:
    """Print a key or keystore that was made here, as it is."""
    _write([text.removesuffix("\n")])


def standard_output() -> IO[bytes]:
    """Standard output for bytes, such as a chain. To be flushed."""
    if sys.stdout is None:  # closed by whoever started us
        raise OSError(errno.EBADF, "Standard output is closed")
    return sys.stdout.buffer


def standard_input() -> IO[bytes]:
    """Standard input as bytes."""
    if sys.stdin is None:
        raise OSError(errno.EBADF, "Standard input is closed")
    return sys.stdin.buffer


def is_attended() -> bool:
    """Whether somebody is there to be asked: standard input is a terminal."""
    return sys.stdin is not None and sys.stdin.isatty()


def ask(question: str, *, hidden: bool = False, twice: bool = False) -> str:
    """What somebody types at the terminal; Enter alone is the empty answer.

    Raises:
        click.Abort: the terminal was closed, or Ctrl-C.
    """
    answer = click.prompt(
        _line(question), default="", show_default=False, hide_input=hidden, confirmation_prompt=twice, err=True
    )
    return str(answer)


def show_traceback() -> None:
    """Print where the exception that is being handled came from, to standard error."""
    _write([_line(line) for line in traceback.format_exc().splitlines()], err=True)


def settle() -> None:
    """At the end of the process: what a full disk or a closed pipe has not taken goes nowhere.

    Python would try once more, fail again, and say so in its own words.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nothing:
                os.dup2(nothing.fileno(), stream.fileno())


def _line(text: str) -> str:
    return escaped(text, MAX_LINE)


def _write(lines: list[str], prefix: str = "", *, err: bool = False) -> None:
    stream = sys.stderr if err else sys.stdout
    # A terminal of another encoding gets an escape where it has no such character.
    encoding = getattr(stream, "encoding", None) or "utf-8"
    text = prefix + "\n".join(lines).encode(encoding, "backslashreplace").decode(encoding)
    # That standard error is gone cannot be said anywhere.
    with contextlib.suppress(OSError) if err else contextlib.nullcontext():
        click.echo(text, err=err)
