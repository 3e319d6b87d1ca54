"""`quarry lab`: what its commands print, their exit codes, and wrong uses."""

from __future__ import annotations

import errno
import json
import os
import resource
import webbrowser
from pathlib import Path
from typing import NoReturn

import pytest
from click.testing import CliRunner, Result

from lab.cli import lab
from tests.support.recordings import text_of_recording

SCENARIO = '''"""A story of two nodes."""

FIDELITY = "tree"


def run(lab, *, nodes: int = 2, good: bool = True):
    lab.say("It begins.")
    lab.check("the story ends well", good)
    lab.measure("a share", 0.5, expected=0.5, trials=10)
'''


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    (tmp_path / "story.py").write_text(SCENARIO)
    (tmp_path / "run.jsonl").write_text(text_of_recording(blocks=8))
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(lab, arguments, prog_name="quarry lab")


def test_the_list_says_what_each_scenario_shows_and_takes() -> None:
    found = json.loads(run("list", "--json").stdout)
    assert len(found) == 9 and all(each["summary"] for each in found)
    parameters = {each["name"]: each["parameters"] for each in found}
    assert parameters["double_spend"].keys() >= {"q", "z", "nodes", "blocks"}
    assert "alpha" in parameters["selfish"] and {"delay", "interval"} <= parameters["latency"].keys()
    assert "share" in parameters["timewarp"]
    assert all(each.keys() >= {"nodes", "blocks"} for each in parameters.values())
    assert "SCENARIO" in run("list").stdout


def test_verdicts_decide_the_exit_code() -> None:
    good = run("simulate", "story.py")
    assert good.exit_code == 0, good.output
    assert "held: the story ends well" in good.stdout
    assert "a share: 0.5 (95 %: 0.2366 to 0.7634), expected 0.5" in good.stdout
    assert good.stdout.rstrip().endswith(".jsonl (seed 1:1)")
    bad = run("simulate", "story.py", "--set", "good=false")
    assert bad.exit_code == 1 and "did not hold: the story ends well" in bad.stdout


def test_json_is_one_object_with_the_promised_names() -> None:
    result = run("simulate", "story.py", "--seeds", "3", "--first-seed", "7", "--json")
    found = json.loads(result.stdout.splitlines()[-1])
    assert list(found) == ["scenario", "world", "seeds", "verdicts", "recording"]
    assert (found["scenario"], found["world"], found["seeds"]) == ("story", "simulated", [7, 8, 9])
    only = json.loads(run("simulate", "story.py", "--seed", "1:7", "--json").stdout.splitlines()[-1])
    assert only["seeds"] == [7] and only["recording"].endswith("story-simulated-7-2.jsonl")
    assert set(found["verdicts"][0]) == {"claim", "held", "value", "low", "high", "expected"}
    assert Path(found["recording"]).exists()


def test_a_recording_is_replayed_and_exported(here: Path) -> None:
    replayed = run("replay", "run.jsonl")
    assert replayed.exit_code == 0 and "found block" in replayed.stdout and "held: all nodes" in replayed.stdout
    assert json.loads(run("replay", "run.jsonl", "--json").stdout)["verdicts"][0]["held"] is True
    assert run("export", "run.jsonl", "run.html").exit_code == 0
    assert (here / "run.html").read_text().startswith("<!doctype html>")


def test_a_recording_in_which_something_did_not_hold_is_replayed_with_1() -> None:
    assert run("simulate", "story.py", "--set", "good=false").exit_code == 1
    assert run("replay", "lab-recordings/story-simulated-1.jsonl").exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["simulate", "selfsh"], "Did you mean selfish?"),
        (["simulate", "nothing.py"], "There is no file nothing.py."),
        (["simulate", "/dev"], "/dev is not a file."),
        (["simulate", "story.py", "--set", "nodez=3"], "story has no parameter 'nodez'. It has: nodes=2, good=True."),
        (["simulate", "story.py", "--set", "nodes"], "write name=value"),
        (["simulate", "story.py", "--set", "nodes=0"], "A lab has 1 to 64 nodes, not 0."),
        (["simulate", "story.py", "--seeds", "0"], "--seeds"),
        (["simulate", "story.py", "--first-seed", "-1"], "--first-seed"),
        (["simulate", "story.py", "--seed", "9007199254740993"], "is no seed: a whole number from 0 to 2^53"),
        (["simulate", "story.py", "--seed", "1:"], "'1:' is no seed"),
        (["simulate", "story.py", "--seed", "2:7"], "2:7 is a seed of version 2 of the simulation."),
        (["grade", "story.py", "--first-seed", "0:7"], "0:7 is a seed of version 0 of the simulation."),
        (["simulate", "story.py", "--fidelity", "fine"], "--fidelity"),
        (["simulate", "story.py", "--data-dir", "story.py"], "--data-dir"),
        (["run", "partition", "--set", "nodes=64"], "64 real nodes do not fit"),
        (["up", "--nodes", "64"], "64 real nodes do not fit"),
        (["up", "--hash-rate", "fast", "--simulated"], "A hash rate is hashes per second"),
        (["up", "--rpc", "--simulated"], "Simulated nodes serve nobody: --rpc is for real ones."),
        (["replay", "none.jsonl"], "none.jsonl cannot be read: No such file or directory."),
        (["replay", "story.py"], "story.py: Line 1 is not a JSON object."),
        (["replay", "."], "cannot be read"),
        (["export", "run.jsonl", "none/run.html"], "none/run.html cannot be written: No such file or directory."),
        (["export", "run.jsonl", "run.jsonl"], "run.jsonl is the recording itself: the page needs another name."),
        (["export", "run.jsonl", "./../" + "x" * 300], "File name too long."),
        (["grade", "story.py"], "must have one class"),
        (["grade", "story.py", "--alpha", "2"], "--alpha"),
        (["simulte", "selfish"], "Did you mean simulate?"),
        (["simulate"], "SCENARIO"),
    ],
)
def test_wrong_use_is_one_sentence_and_2(arguments: list[str], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert said in result.stderr and result.stderr.count("\n") == 1 and result.stdout in ("", "Starting 4 nodes …\n")


def test_an_altered_recording_is_refused(here: Path) -> None:
    text = (here / "run.jsonl").read_text()
    (here / "run.jsonl").write_text(text.replace('"held":true', '"held":false'))
    result = run("replay", "run.jsonl")
    assert result.exit_code == 2 and "was altered" in result.stderr
    (here / "run.jsonl").write_bytes(b"\xff\xfe")
    assert "not ASCII" in run("replay", "run.jsonl").stderr


def test_a_file_without_lines_is_not_read_to_its_end(here: Path) -> None:
    with (here / "zeros.jsonl").open("wb") as file:
        file.truncate(2**30)
    before = peak_memory()
    result = run("replay", "zeros.jsonl")
    assert result.exit_code == 2 and "Line 1 has more than 20,000,000 characters." in result.stderr
    assert peak_memory() - before < 2**28


def peak_memory() -> int:
    """Bytes that this process had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_a_page_that_cannot_be_written_leaves_the_old_one(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "run.html").write_text("old")
    assert run("replay", "run.jsonl", "--open").exit_code == 0  # writes beside the recording
    (here / "page.html").write_text("old")
    monkeypatch.setattr(os, "fsync", lambda descriptor: full())
    result = run("export", "run.jsonl", "page.html")
    assert result.exit_code == 2 and "page.html cannot be written: No space left on device." in result.stderr
    assert (here / "page.html").read_text() == "old" and not list(here.glob(".*"))


def full() -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_recording_never_becomes_its_own_page(here: Path) -> None:
    """Neither under another name, nor beside itself."""
    text = (here / "run.jsonl").read_text()
    (here / "link.html").symlink_to(here / "run.jsonl")
    assert run("export", "run.jsonl", "link.html").exit_code == 2
    (here / "run.jsonl").rename(here / "run.html")
    assert run("replay", "run.html", "--open").exit_code == 2
    assert (here / "run.html").read_text() == text


def test_every_help_fits_a_terminal_of_24_rows() -> None:
    for name in (None, *lab.commands):
        lines = run(*([] if name is None else [name]), "--help").stdout.splitlines()
        assert len(lines) < 24 and max(map(len, lines)) <= 80, name
