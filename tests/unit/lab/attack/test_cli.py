"""`quarry attack`: wrong uses, exit codes, and what it prints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lab.attack import cli
from lab.attack.joining import noted
from tests.support.lab_page import ASKED, page

GOOD = ["--against", ASKED.against, "--depth", "2", "--pay-to", ASKED.pay_to]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.attack, arguments, prog_name="quarry attack")


def verdict(held: bool) -> dict[str, Any]:
    return {
        "claim": "it is safe",
        "held": held,
        "value": None if held else 2.0,
        "low": None,
        "high": None,
        "expected": None,
    }


@pytest.fixture
def lab(here: Path) -> Iterator[list[bool]]:
    """A lab that runs, and the verdict that it comes to."""
    held = [True]

    def attack(values: Any) -> dict[str, Any]:
        return {"scenario": "s", "world": "real", "seeds": [1], "verdicts": [verdict(held[0])], "recording": "r.jsonl"}

    (here / "lab-recordings").mkdir()
    with page(attack) as url, noted(here / "lab-recordings", url, {}):
        yield held


def test_verdicts_decide_the_exit_code(lab: list[bool]) -> None:
    good = run("double-spend", *GOOD)
    assert good.exit_code == 0 and "held: it is safe" in good.stdout and "The lab at http://127.0.0.1:" in good.stdout
    lab[0] = False
    bad = run("double-spend", *GOOD, "--json")
    assert bad.exit_code == 1
    assert json.loads(bad.stdout) == {
        "scenario": "attack double-spend", "world": "real", "seeds": [1], "verdicts": [verdict(False)],
        "recording": "r.jsonl",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--against", "http://93.184.216.34/"], "Only applications on this machine"),
        (["--against", "nonsense"], "is no address such as"),
        (["--pay-to", "me"], "is no address"),
        (["--credited", "yes"], "no field with a value"),
        (["--amount", "-1"], "amount"),
        (["--wait", "-1"], "from 0 to 3600"),
        (["--node", "9", "x"], "no node 9"),
    ],
)
def test_wrong_uses_are_one_sentence_and_start_nothing(
    monkeypatch: pytest.MonkeyPatch, change: list[str], said: str
) -> None:
    monkeypatch.setattr(cli, "run_real", lambda *arguments: pytest.fail("a lab was started"))
    result = run("double-spend", *GOOD, *change)
    assert result.exit_code == 2 and said in result.stderr and result.stderr.count("\n") == 1, result.output


@pytest.mark.parametrize("arguments", [[], ["--help"], ["double-spend", "--help"]])
def test_help_fits_a_terminal(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = run(*arguments).output.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 80


def test_options_that_are_missing_are_named() -> None:
    for place in (0, 2, 4):
        result = run("double-spend", *GOOD[:place], *GOOD[place + 2 :])
        assert result.exit_code == 2 and GOOD[place] in result.stderr
    assert run("double-spend", *GOOD, "--depth", "101").exit_code == 2
