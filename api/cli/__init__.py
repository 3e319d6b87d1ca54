"""The command line. Each command is a module that is imported only when it runs: `quarry --help` stays quick, and the
processes of a node small.
"""

from api.cli import terminal
from api.cli.group import quarry

__all__ = ["main", "quarry"]


def main() -> None:
    """Run the command that `sys.argv` asks for, and exit: 0 done, 1 refused or failed, 2 wrong usage or settings,
    3 the node cannot be reached, 130 interrupted.
    """
    try:
        quarry.main(prog_name="quarry")
    finally:
        terminal.settle()
