"""The command line without a node: what it imports, how it refuses, where it looks for things."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from api.cli import main
from api.cli.group import COMMANDS
from api.cli.options import connect
from services.launch.node_files import running_nodes
from services.system.programs import ROOT
from tests.support.cli import refused, run
from tests.support.fake_node import FakeNode, make_node

pytestmark = pytest.mark.usefixtures("own_environment")


# --- Ctrl-C: before the command, which tests/integration/launch/test_interrupted_starts.py continues -----------------


def test_ctrl_c_before_the_command_is_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gc.freeze", lambda: None)  # this process goes on
    with monkeypatch.context() as patch:
        patch.setattr("api.cli.suggestions.Group.make_context", interrupted)  # while the root command is prepared
        refused(run("status"), 130, "Interrupted.")
    monkeypatch.setattr("api.cli.quarry.main", interrupted)  # before or after that
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 130 and capsys.readouterr() == ("", "")


# --- Help and usage --------------------------------------------------------------------------------------------------


def test_help_imports_no_command_and_nothing_heavy() -> None:
    script = (
        "import sys\nfrom api.cli import quarry\n"
        "try: quarry.main(['--help'])\nexcept SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'flask', 'redis', 'rich', 'rq', 'urllib3', 'cryptography', 'structlog', 'nacl'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Begin with `quarry up`" in done.stdout


def test_commands_that_log_do_not_load_rich_and_may_load_it_later() -> None:
    script = (
        "import sys\nfrom api.cli.group import quarry\n"
        "import click\ncontext = click.Context(quarry)\nassert quarry.get_command(context, 'up')\n"
        "assert 'structlog.dev' in sys.modules\n"
        "assert not {'rich', 'flask', 'rq', 'numpy'} & set(sys.modules)\n"
        "import rich.progress\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_exists_and_explains_itself(name: str) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: quarry {name}")


@pytest.mark.parametrize("program", ["worker", "ticker"])
def test_the_processes_of_jobs_are_become_not_imported(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr(os, "execve", lambda path, command, environment: became.append(command))
    result = run(program, *(["--queue", "network"] if program == "worker" else []))
    assert result.exit_code == 0, result.output
    assert became[0][1:5] == ["-P", "-m", "worker", program]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["frob"], "frob"),
        (["--frob"], "--frob"),
        (["up", "--port", "65536"], "--port"),
        (["up", "--port", "x"], "--port"),
        (["up", "--workers", "-1"], "--workers"),
        (["up", "--spec", "nowhere.toml"], "QUARRY_SPEC"),
        (["up", "--host", "0.0.0.0"], "--unsafe-development"),
        (["up", "--accounts", "0"], "--accounts"),
        (["up", "--accounts", "1001"], "--accounts"),
        (["up", "--accounts", "ten"], "--accounts"),
        (["up", "--balance", "0"], "--balance"),
        (["up", "--balance", "-1"], "--balance"),
        (["up", "--balance", "1e18"], "--balance"),
        (["up", "--balance", "nan"], "--balance"),
        (["up", "--balance", "1.5000000000000000001"], "--balance"),
        (["up", "--balance", str(2**256)], "--balance"),
        (["up", "--balance", "115792089237316195423570985008687907853269984665640564039457"], "2^256"),
        (["up", "--mnemonic", "test test test test test test test test test test test test"], "--mnemonic"),
        (["up", "--mnemonic", ""], "--mnemonic"),
        (["up", "--mnemonic", "test", "--mnemonic-random"], "exclude each other"),
        (["up", "--chain-id", "0"], "--chain-id"),
        (["up", "--chain-id", "9007199254740992"], "--chain-id"),
        (["up", "--chain-id", "847731"], "built-in spec dev"),
        (["up", "--chain-id", "847733"], "built-in spec tutorial"),
        (["up", "--accounts", "3", "--spec", "dev"], "--spec names another"),
        (["up", "--ephemeral", "--redis-url", "redis://127.0.0.1:1/0"], "--ephemeral"),
        (["up", "--block-time", "0"], "--block-time must be"),
        (["up", "--block-time", "-1"], "--block-time must be"),
        (["up", "--block-time", "nan"], "--block-time must be"),
        (["up", "--block-time", "inf"], "--block-time must be"),
        (["up", "--block-time", "two"], "--block-time must be"),
        (["up", "--block-time", "2", "--no-mining"], "--no-mining"),
        (["up", "--block-time", "2", "--no-automine"], "--no-mining"),
        (["up", "--mixed-mining", "--no-mining"], "--no-mining"),
        (["up", "--mixed-mining"], "--block-time"),
        (["up", "--config-out", "/nowhere/at/all"], "--config-out"),
        (["up", "--config-out", "/"], "--config-out"),
        (["worker"], "--queue"),
        (["worker", "--queue", "other"], "--queue"),
        (["mine", "0"], "[N]"),
        (["tx", "12"], "64 hexadecimal digits"),
        (["send", "--from", "a", "--to", "b", "1_000"], "AMOUNT"),
        (["send", "--from", "a", "--to", "b", "\uff11\uff12"], "AMOUNT"),
        (["send", "--from", "a", "--to", "b", "1", "--fee", "1e5"], "--fee"),
        (["send", "--from", "a", "--to", "b", "1", "--data", ""], "--data"),
        (["status", "--url", "ftp://127.0.0.1"], "must look like"),
        (["status", "--url", "http://user:secret@127.0.0.1"], "no user"),
        (["anchor", "/nowhere/at/all"], "FILE"),
        (["wallet", "new", "../evil"], "letters"),
        (["wallet", "new", "node"], "running node"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments: list[str], word: str) -> None:
    refused(run(*arguments), 2, word)


def test_an_unknown_setting_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("QUARRY_FROB", "1")
    refused(run("up", "--port", "0"), 2, "QUARRY_FROB")
    assert not (tmp_path / "home").exists()


def test_a_fault_of_our_own_is_one_line_too(monkeypatch: pytest.MonkeyPatch, node: FakeNode) -> None:
    node.answers["/status"] = 200, {}
    refused(run("status", "--url", node.url), 1, "KeyError", "status.py")


# --- Talking to a node -----------------------------------------------------------------------------------------------


def test_nobody_there_is_exit_code_3() -> None:
    refused(run("status", "--url", "http://127.0.0.1:1"), 3, "http://127.0.0.1:1")


def test_a_refusal_has_its_code_and_its_sentence(node: FakeNode) -> None:
    problem = {"type": "urn:x", "title": "x", "status": 429, "code": "too_many_requests", "detail": "64 are waiting."}
    node.answers["/mine"] = 429, problem
    refused(run("mine", "--url", node.url), 1, "64 are waiting (too_many_requests).")


@pytest.mark.parametrize("status", [301, 500, 502])
def test_answers_that_are_no_problem_json_are_named_by_status(node: FakeNode, status: int) -> None:
    node.answers["/status"] = status, b"<html>no</html>"
    refused(run("status", "--url", node.url), 1, str(status))
    assert len(node.asked) == 1  # a redirect is not followed


@pytest.mark.parametrize("text", [b"not json", b"[" * 100_000])
def test_answers_that_are_no_json_are_refused(node: FakeNode, text: bytes) -> None:
    node.answers["/status"] = 200, text
    refused(run("status", "--url", node.url), 1, "not JSON")


def test_the_node_that_runs_here_is_found_and_given_its_token(node: FakeNode, tmp_path: Path) -> None:
    files = make_node(tmp_path / "home", node.url)
    connect(None).find("/x")
    connect(node.url).find("/x")
    token = files.admin_token.read_text().strip()
    assert [headers.get("Authorization") for *_, headers in node.asked] == [f"Bearer {token}"] * 2


def test_the_token_is_not_given_to_another_node(node: FakeNode, tmp_path: Path) -> None:
    make_node(tmp_path / "home", "http://127.0.0.1:1")
    connect(node.url).find("/x")
    assert "Authorization" not in node.asked[0][3]


def test_the_record_of_a_dead_process_is_passed_over(tmp_path: Path) -> None:
    home = tmp_path / "home"
    make_node(home, "http://127.0.0.1:1", "old", started="long ago")
    assert running_nodes(home) == []
    assert connect(None).url == "http://127.0.0.1:5000"
    make_node(home, "http://127.0.0.1:2", "first", started_at=1.0)
    make_node(home, "http://127.0.0.1:3", "second", started_at=2.0)
    assert [found.url for _, found in running_nodes(home)] == ["http://127.0.0.1:3", "http://127.0.0.1:2"]


def test_a_record_that_others_can_write_or_read_is_not_trusted(tmp_path: Path) -> None:
    files = make_node(tmp_path / "home", "http://127.0.0.1:1")
    assert len(running_nodes(tmp_path / "home")) == 1
    files.record.chmod(0o644)
    assert running_nodes(tmp_path / "home") == []
