"""`quarry logs`: the last lines of a node's programs, in the order in which they were logged."""

from pathlib import Path

import pytest

from services.launch.node_files import NodeFiles
from tests.support.cli import refused, run
from tests.support.fake_node import make_node

pytestmark = pytest.mark.usefixtures("own_environment")


@pytest.fixture
def files(tmp_path: Path) -> NodeFiles:
    found = make_node(tmp_path / "home", "http://127.0.0.1:1")
    for name, lines in {
        "api": [
            "2026-01-01T00:00:01.5Z [warning  ] one",
            "    a traceback of one",
            "2026-01-01T00:00:04Z [error] four",
        ],
        "mining1": ['{"event": "two", "timestamp": "2026-01-01T00:00:02Z"}'],
        "ticker": ["before any time", "2026-01-01T00:00:03Z [info] three \x1b[2J"],
    }.items():
        (found.logs / f"{name}.log").write_text("".join(f"{line}\n" for line in lines))
    return found


def test_lines_of_all_programs_are_in_the_order_of_their_times(files: NodeFiles) -> None:
    lines = run("logs").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["ticker", "api", "api", "mining1", "ticker", "api"]
    assert lines[2] == "api          a traceback of one"
    assert lines[4].endswith(r"three \x1b[2J")
    assert run("logs", "-n", "2").stdout.splitlines() == lines[-2:]
    assert run("logs", "mining1", "mining1").stdout.splitlines() == [lines[3]]


def test_a_wrong_program_or_node_is_one_sentence(files: NodeFiles, tmp_path: Path) -> None:
    refused(run("logs", "minning1"), 2, "Did you mean mining1?")
    refused(run("logs", "x" * 9000), 2, "programs are api, mining1, ticker")
    refused(run("logs", "../node"), 2, "no program")
    refused(run("logs", "-n", "-1"), 2, "-n")
    refused(run("logs", "--url", "http://127.0.0.1:2"), 1, "not one that this user's")
    files.remove_record()
    refused(run("logs"), 1, "No node runs on this machine", str(tmp_path / "home"))


def test_nothing_logged_is_said(files: NodeFiles) -> None:
    for log in files.logs.iterdir():
        log.write_text("")
    assert run("logs").stdout.startswith("Nothing was logged")
    assert run("logs", "-n", "0").exit_code == 0


def test_following_shows_new_lines_until_the_node_stops(files: NodeFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = iter(["new one", "new two"])

    def next_step(_: float) -> None:
        line = next(steps, None)
        if line is None:
            files.record.unlink()
        else:
            with (files.logs / "api.log").open("a") as log:
                log.write(f"2026-01-01T00:00:05Z {line}\n")

    monkeypatch.setattr("api.cli.node.logs.time.sleep", next_step)
    monkeypatch.setattr("api.cli.node.logs.is_alive", lambda record: files.record.exists())
    result = run("logs", "api", "-f", "-n", "1")
    assert [line.rpartition(" ")[2] for line in result.stdout.splitlines()] == ["four", "one", "two"]
    assert result.stderr == "The node has stopped.\n" and result.exit_code == 0


def test_ctrl_c_ends_following(files: NodeFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("api.cli.node.logs.time.sleep", interrupted)
    result = run("logs", "-f", "-n", "0")
    assert (result.exit_code, result.output) == (130, "")


def test_without_a_number_there_are_as_many_lines_as_the_terminal_has_rows_for(files: NodeFiles) -> None:
    long = "".join(f"2026-01-01T00:01:{second:02}Z {'word ' * 20}{second}\n" for second in range(40))
    (files.logs / "api.log").write_text(long)
    shown = run("logs", "api", columns=80).stdout.splitlines()
    assert len(shown) == 22 and shown[-1].endswith(" 39"), "of eleven lines, two rows each"
    assert len(run("logs", "api").stdout.splitlines()) == 20
    assert len(run("logs", "api", "-n", "30", columns=80).stdout.splitlines()) == 60
    (files.logs / "api.log").write_text("word " * 1000 + "\n")
    assert run("logs", "api", columns=20).stdout.count("word") > 100, "the last line, whatever its length"
