"""The command line in the test's own process. commands.py runs it in a process of its own."""

from pathlib import Path

from click.testing import CliRunner, Result

from api.cli import quarry


def run(*arguments: str | Path, stdin: str | bytes | None = None, columns: int | None = None) -> Result:
    """Run a command. Its lines are whole, whatever terminal runs the tests, unless it has so many `columns` (and 24
    rows)."""
    environment = {"COLUMNS": None if columns is None else str(columns), "LINES": "24"}
    return CliRunner(env=environment).invoke(quarry, [str(item) for item in arguments], input=stdin)


def refused(result: Result, code: int, *words: str) -> None:
    """One sentence on standard error, nothing on standard output, and the exit code that means it."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("quarry: ")
    assert result.stderr.count("\n") == 1, result.stderr
    for word in words:
        assert word in result.stderr
