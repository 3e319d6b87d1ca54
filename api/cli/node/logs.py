"""`quarry logs`: what the processes of a node that runs on this machine have logged."""

import re
import time
from collections.abc import Sequence
from pathlib import Path

import click

from api.cli import terminal
from api.cli.group import INTERRUPTED, USAGE, Failure
from api.cli.node.log_tail import LogTail
from api.cli.options import place, running_node, url_option
from api.cli.suggestions import did_you_mean
from services.launch.node_files import NodeFiles, NodeRecord, is_alive

_BACK = 2**18  # bytes of each log in which the last lines are looked for
_LINES = 20  # that are shown if no number is given
_PAUSE = 0.2  # seconds between two looks
# When an entry was logged: at its beginning, or in JSON.
_STAMP = re.compile(r'(?:\A|"timestamp": ?")(\d{4}-\d\d-\d\dT[\d:.]+Z?)')


@click.command()
@click.argument("programs", metavar="[PROGRAM]...", nargs=-1)
@url_option
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(0, 1000),
    help="The last N lines. [default: 20, or as many as the terminal has rows for]",
)
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines until Ctrl-C, or until the node stops.")
def logs(programs: tuple[str, ...], url: str | None, lines: int | None, follow: bool) -> None:
    """Show the logs of the node that runs on this machine: of all its programs, or of some.

    The programs are api, rpc, network, ticker and the mining workers: mining1, mining2 and so on.
    """
    files, record = _node(url)
    paths = _paths(files.logs, programs)
    tails = [(path.stem, LogTail(path, _BACK)) for path in paths]
    shown = _in_order([(name, tail.lines()) for name, tail in tails])
    last = _that_fit(shown) if lines is None else shown[len(shown) - min(lines, len(shown)) :]
    if last:
        terminal.show(*last)
    elif not follow:
        terminal.show(f"Nothing was logged: warnings and errors are in {files.logs}.")
    if follow:
        _follow(tails, record)


def _that_fit(lines: list[str]) -> list[str]:
    """The last lines that the terminal has rows for, at least one; at most _LINES."""
    width, rows = terminal.width(), terminal.rows()
    first = len(lines)
    while first > max(0, len(lines) - _LINES):
        if width is not None and rows is not None:
            rows -= len(terminal.folded(lines[first - 1], width))
            if rows < 0 and first < len(lines):
                break
        first -= 1
    return lines[first:]


def _node(url: str | None) -> tuple[NodeFiles, NodeRecord]:
    found = running_node(url)
    if found is not None:
        return found
    if url is not None:
        raise Failure(f"The node at {url} is not one that this user's `quarry up` runs on this machine.")
    directory = place()
    where = f"; the logs of earlier runs are in {directory}/*/*/logs" if directory is not None else ""
    raise Failure(f"No node runs on this machine{where}.")


def _paths(directory: Path, programs: Sequence[str]) -> list[Path]:
    """The logs of the programs that are named, or all. Raises: Failure, exit code 2."""
    found = {path.stem: path for path in sorted(directory.glob("*.log"))}
    for name in programs:
        if name not in found:
            known = ", ".join(found) or "none"
            raise Failure(
                f"The node has no program {name[:40]!r}; its programs are {known}.{did_you_mean(name, found)}", USAGE
            )
    return [found[name] for name in dict.fromkeys(programs or found)]


def _follow(tails: Sequence[tuple[str, LogTail]], record: NodeRecord) -> None:
    try:
        while True:
            runs = is_alive(record)  # before the look, so that its last lines are shown
            new = _in_order([(name, tail.lines()) for name, tail in tails])
            if new:
                terminal.show(*new)
            if not runs:
                terminal.say("The node has stopped.")
                return
            time.sleep(_PAUSE)
    except KeyboardInterrupt:
        raise click.exceptions.Exit(INTERRUPTED) from None


def _in_order(logs: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """The lines of several logs by their times, each with its program. A line without a time follows the one before."""
    width = max((len(name) for name, _ in logs), default=0)
    entries: list[tuple[str, str]] = []
    for name, lines in logs:
        stamp = ""
        for line in lines:
            found = _STAMP.search(line)
            stamp = found[1] if found else stamp
            entries.append((stamp, f"{name:{width}}  {line}"))
    return [line for _, line in sorted(entries, key=lambda entry: entry[0])]
