"""`quarry help`, and the help of commands with many options."""

import re

import pytest

from api.cli.group import COMMANDS, FIRST, MORE, quarry
from api.cli.help import Abridged
from tests.support.cli import refused, run


def test_help_of_the_root_names_every_command_once() -> None:
    listed = [*FIRST, *(name for names in MORE.values() for name in names)]
    assert sorted([*listed, "help"]) == sorted(COMMANDS)
    shown = run("--help", columns=80).stdout
    for name in COMMANDS:
        assert re.search(rf"\b{name}\b", shown), name


@pytest.mark.parametrize("columns", [80, 132, None])
def test_quarry_help_has_a_line_for_every_command(columns: int | None) -> None:
    lines = run("help", columns=columns).stdout.splitlines()
    assert len(lines) < 24 and all(len(line) <= (columns or 100) for line in lines)
    for name, (_, _, text) in COMMANDS.items():
        if name == "help":  # whoever reads this has found it
            continue
        assert any(name in re.split(r"[ ,]+", line.partition("  ")[0]) for line in lines), name
        assert text in "\n".join(lines) or name in MORE["processes"]


@pytest.mark.parametrize("path", [("wallet",), ("wallet", "new"), ("up",), ("help",)])
def test_help_shows_the_same_as_the_option(path: tuple[str, ...]) -> None:
    assert run("help", *path, columns=80).stdout == run(*path, "--help", columns=80).stdout


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (("wallt",), "Did you mean wallet?"),
        (("wallet", "nwe"), "Did you mean new?"),
        (("send", "alice"), "`quarry help` lists the commands."),
        (("qqq",), "`quarry help` lists the commands."),
    ],
)
def test_help_of_what_is_no_command(path: tuple[str, ...], said: str) -> None:
    refused(run("help", *path), 2, said)


def test_a_long_help_is_abridged_and_names_every_option() -> None:
    command = quarry.get_command(None, "up")  # type: ignore[arg-type] # the table needs no context
    assert isinstance(command, Abridged)
    options = {name for item in command.params for name in (*item.opts, *item.secondary_opts)} | {"-h", "--help"}
    brief, every = run("up", "--help", columns=80).stdout, run("up", "--help-all", columns=80).stdout
    assert set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", " ".join(command.brief))) <= options, "options that do not exist"
    for item in command.params:
        names = {*item.opts, *item.secondary_opts}
        assert names & set(re.findall(r"(?<!\S)--[a-z-]+(?=[\s,]|$)", brief)), f"{names} is in no line of the help"
        assert any(name in every for name in names)
    assert every.count("\n") > 60
