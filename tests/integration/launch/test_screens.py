"""What a newcomer sees on a terminal of 80 columns and 24 rows: `quarry up`, and each command on a fresh node."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.cli import quarry, terminal
from services.system.programs import ROOT
from tests.support.cli import run
from tests.support.commands import environment
from tests.support.pages import COLUMNS, ROWS, rows
from tests.support.waiting import eventually

# The last row is the shell's, for the next command.
MOST = ROWS - 1

# What is typed, in this order; each command of the table is there, or below.
TYPED: list[tuple[str, ...]] = [
    ("help",),
    ("status",),
    ("doctor",),
    ("wallet", "new", "alice"),
    ("wallet", "new", "bob", "--scheme", "ethereum", "--words", "24"),
    ("wallet", "list"),
    ("wallet", "accounts"),
    ("wallet", "show", "alice"),
    ("wallet", "export", "bob", "DIRECTORY/bob.key", "--format", "key"),
    ("wallet", "import", "DIRECTORY/bob.key", "--name", "carol", "--scheme", "ethereum"),
    ("wallet", "sign", "DIRECTORY/unsigned.json", "--from", "alice"),
    ("mine", "3"),
    ("send", "--from", "account0", "--to", "alice", "2.5", "--wait"),
    ("tx", "LATEST"),
    ("faucet", "bob", "--wait"),
    ("balance",),
    ("balance", "alice", "bob", "account1"),
    ("anchor", "DIRECTORY/file", "--from", "node"),
    ("verify-anchor", "DIRECTORY/file"),
    ("chain", "show"),
    ("chain", "show", "latest"),
    ("chain", "show", "1"),
    ("chain", "verify"),
    ("chain", "export", "DIRECTORY/chain"),
    ("chain", "tips"),
    ("fork", "--depth", "1"),
    ("limit",),
    ("limit", "900M"),
    ("limit", "off"),
    ("names", "add", "alice", "the bakery"),
    ("names", "list"),
    ("names", "remove", "the bakery"),
    ("token", "new", "anna", "--scope", "mine"),
    ("token", "list"),
    ("token", "log"),
    ("token", "revoke", "anna"),
    ("voucher", "new", "class"),
    ("voucher", "list"),
    ("voucher", "revoke", "class"),
    ("peers", "list"),
    ("peers", "add", "http://127.0.0.1:1"),
    ("peers", "remove", "http://127.0.0.1:1"),
    ("backup", "DIRECTORY/backup"),
    ("restore", "DIRECTORY/backup", "--data-dir", "DIRECTORY/restored"),
    ("logs",),
]
ELSEWHERE = {
    "up": "test_all_that_up_prints_is_on_one_screen",
    "demo": "minutes; its lines are the steps of tests/integration/launch/test_up.py, fifteen",
    "bench": "minutes; it prints a table with a row for each figure, as many as are asked for",
    "reset": "needs a node that was stopped; it asks one question and prints one sentence",
    "repair": "needs a node that was stopped, or one sentence",
    "attack": "another program: tests/unit/lab/attack/test_cli.py measures its help; it needs no node",
    "lab": "another program: tests/unit/lab/test_cli.py measures its help; it needs no node",
    "chain import": "needs a store of its own; it prints one sentence",
    "miner": "a program that mines until it is stopped: one line that is drawn again",
    "upgrade new": "needs a chain of sealers; tests/unit/api/cli/chain/test_upgrade.py has its lines",
    "upgrade check": "needs a chain of sealers; tests/unit/api/cli/chain/test_upgrade.py has its lines",
    "upgrade show": "needs a chain of sealers; tests/unit/api/cli/chain/test_upgrade.py has its lines",
    "upgrade sign": "needs a chain of sealers; tests/unit/api/cli/chain/test_upgrade.py has its lines",
    "api": "a server: its output is its log",
    "rpc": "a server: its output is its log",
    "worker": "a server: its output is its log",
    "ticker": "a server: its output is its log",
}


class Up:
    """`quarry up` as a person starts it, and the lines that it printed until it was ready."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.lines: list[str] = []
        self._screen: list[str] = []  # until it was ready
        self._ready = threading.Event()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "api.cli", "up", "--port", "0", "--rpc-port", "0", "--workers", "1"],
            cwd=ROOT,
            env=environment(home, COLUMNS=str(COLUMNS), LINES=str(ROWS)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip("\n"))
            if line.startswith("Ctrl-C"):
                self._screen = list(self.lines)
                self._ready.set()
        self._ready.set()  # it has ended

    def wait(self) -> list[str]:
        assert self._ready.wait(90) and self._process.poll() is None, self.lines
        return self._screen

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    started = Up(tmp_path_factory.mktemp("home"))
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture
def typing(up: Up, monkeypatch: pytest.MonkeyPatch) -> Up:
    """The environment of someone who types commands beside the node."""
    up.wait()
    for name in [name for name in os.environ if name.startswith("QUARRY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("QUARRY_DATA_HOME", str(up.home))
    monkeypatch.setenv("QUARRY_PASSPHRASE", "horse")
    return up


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Every command that is no group, by its words."""
    if not hasattr(group, "list_commands"):
        yield " ".join(path)
        return
    for name in group.list_commands(None):
        yield from commands(group.get_command(None, name), (*path, name))


def test_every_command_is_typed_or_it_is_said_why_not() -> None:
    every = set(commands(quarry))
    typed = {name for name in every for words in TYPED if " ".join(words).startswith(name)}
    assert typed | ELSEWHERE.keys() == every and not typed & ELSEWHERE.keys()


def test_all_that_up_prints_is_on_one_screen(up: Up) -> None:
    lines = up.wait()
    assert all(terminal.cells(line) <= COLUMNS for line in lines)
    # How often it says that it waits depends on the machine.
    steps = [line for line in lines if line.startswith("- ") and "waiting for" not in line]
    ready = next(place for place, line in enumerate(lines) if " is ready: chain dev" in line)
    shown = lines[ready - 1 :]
    assert len(shown) <= MOST - len(steps), "\n".join(lines)
    together = "\n".join(shown)
    for label in (
        "Explorer     http://127.0.0.1:",
        "JSON-RPC     http://127.0.0.1:",
        "Admin token  ",
        "Chain id     847731",
    ):
        assert label in together
    assert "account0 to account9, 10000 QRY each: quarry wallet accounts" in together
    assert "0xac0974bec39a17e3" not in together, "keys are printed on demand"


def test_what_each_command_prints_is_on_one_screen(typing: Up, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    recipient = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    unsigned = f'{{"type":"transfer","nonce":0,"recipient":"{recipient}","amount":"1","fee":"0"}}'
    (tmp_path / "unsigned.json").write_text(unsigned)
    latest = ""
    for words in TYPED:
        arguments = [word.replace("DIRECTORY", str(tmp_path)).replace("LATEST", latest) for word in words]
        result = run(*arguments, columns=COLUMNS)
        assert result.exit_code == 0, (words, result.output)
        lines = result.output.splitlines()
        assert rows(result.output) <= MOST, (words, result.output)
        if words[:2] != ("wallet", "sign"):  # JSON, on one line
            assert all(terminal.cells(line) <= COLUMNS for line in lines), (words, result.output)
        latest = lines[0][:64] if words[0] == "send" else latest


def test_events_are_a_line_each(typing: Up) -> None:
    before = len(typing.lines)
    assert run("send", "--from", "account0", "--to", "account1", "1", "--wait").exit_code == 0
    eventually(lambda: any(" block " in line for line in typing.lines[before:]))
    new = typing.lines[before:]
    assert any(" transaction 0x" in line for line in new) and all(len(line) <= COLUMNS for line in new), new
