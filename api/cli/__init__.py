"""The command line: a client of a node's HTTP API, and the commands that start a node on this machine.

group.py        the table of commands, from a command's name to its module; errors and exit codes
help.py         `quarry help`, and shorter help of commands with many options
wallet/         commands about keys and coins
chain/          commands about blocks
node/           commands that start a node, watch it or look after it
options.py      options that commands share, and which node they talk to
client.py       the HTTP client
lookup.py       blocks and transactions by height, hash, id, or its first digits
terminal.py     everything that is printed or asked at a terminal
table.py        tables that fit the terminal
moments.py      times as people read them
progress.py     progress bars and live lines
usage.py        wrong usage in one sentence
suggestions.py  what a mistyped word may have meant

A command's module is imported when the command runs, which keeps `quarry --help` quick and a node's processes small.
No module here imports a Flask view. Only node/processes.py imports the server, which `quarry api` starts.
"""

from services.system.interrupts import interrupts_end

with interrupts_end():
    import sys

    from api.cli import terminal
    from api.cli.group import INTERRUPTED, quarry
    from services.system.loading import keep

__all__ = ["main", "quarry"]


def main() -> None:
    """Run the command in `sys.argv` and exit.

    Exit codes: 0 done, 1 refused or failed, 2 wrong usage or settings, 3 no node answers, 130 interrupted.
    """
    try:
        quarry.main(prog_name="quarry")
    except KeyboardInterrupt:  # before the command or after it: the group turns the others into a sentence
        sys.exit(INTERRUPTED)
    finally:
        terminal.settle()
        keep()  # the memory is the system's in a moment: nothing in it needs to be collected first
