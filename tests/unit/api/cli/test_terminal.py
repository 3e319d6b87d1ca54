"""Text of strangers never acts on the terminal, whichever command prints it."""

import ast
import copy
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from api.cli import quarry, terminal
from api.cli.group import COMMANDS, MORE
from api.cli.progress import line
from services.system.programs import ROOT
from services.system.visible import is_plain
from services.wallet.development import ACCOUNTS
from shared.rules import rules_for
from tests.support.cli import run
from tests.support.fake_node import SPEC, FakeNode, make_chain

# Clears the screen, sets the title, forges a line, turns text around, hides, marks up.
HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07 x\r\nFORGED        confirmed\nFORGED\t\x7f\x9b31m\u202eevil\u2066\u2069\u200e\u200f\u061c"
    "\u200b\u200d\ufeff\u2028FORGED\u2029\u00ad\U000e0041\ue000\u3164[red]x[/red]"
)
IDENTIFIER = "ab" * 32


# --- Every command, asked of a node that answers with hostile text ---------------------------------------------------


pytestmark = pytest.mark.usefixtures("own_environment")


@pytest.fixture(autouse=True)
def no_pause(own_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.cli.wallet.transfers._PAUSE", 0.0)
    monkeypatch.setattr("services.backup.sealed.COST", 2)
    monkeypatch.setenv("QUARRY_PASSPHRASE", "horse")


def harmless(result: Result) -> None:
    """Nothing on either stream acts or hides, and no line begins with a stranger's text."""
    for text in (result.stdout, result.stderr):
        lines = text.split("\n")
        assert all(is_plain(item) for item in lines), ascii(text)
        assert not any(item.startswith("FORGED") for item in lines), ascii(text)
        assert all(len(item) < terminal.MAX_LINE * 10 for item in lines)


def honest_answers(sender: str) -> dict[str, Any]:
    """What a node answers to the commands, by path: valid, so that each gets to its end."""
    blocks = make_chain(3)
    rules = rules_for(SPEC)
    hashes = [rules.genesis().hash, *(rules.read_block(item).hash for item in blocks[1:])]
    shown = [
        {**blocks[n], "hash": hashes[n], "transaction_count": 1, "size": 500, "chainwork": n, "id": "x"}
        for n in range(3)
    ]
    peer = {"url": "http://127.0.0.1:2", "state": "ok", "height": 3, "tip": hashes[2], "reason": "slow"}
    waiting = {"url": "http://127.0.0.1:3", "state": "candidate", "height": 0, "tip": "", "reason": ""}
    transaction = {
        "id": IDENTIFIER, "status": "confirmed", "type": "transfer", "sender": sender, "data": "memo", "amount": "1",
        "block": hashes[2], "index": 3, "reason": "why", "raw": {"deep": ["list"]},
    }  # fmt: skip
    found_round = {
        "id": "r1", "height": 4, "hashes": 5, "rate": 2, "difficulty": 9,
        "workers": [{"name": "worker", "hashes": 5, "rate": 2}],
    }  # fmt: skip
    return {
        "/status": {
            "node": "node1", "spec": "unit", "height": 3, "chainwork": 3, "tip": hashes[2], "min_fee": "0",
            "mempool": {"size": 0, "bytes": 0}, "workers": {"mining": 1, "network": 1}, "peers": ["http://127.0.0.1:2"],
            "round": found_round,
        },
        "/spec": SPEC.to_object(),
        "/readyz": {"status": "ready"},
        "/chain": {"chain": blocks, "length": 3},
        "/blocks": {"blocks": list(reversed(shown)), "length": 3},
        "/blocks/latest": shown[2],
        "/blocks/3": shown[2],
        "/blocks/1": shown[0],
        f"/blocks/{hashes[2]}": shown[2],
        "/nodes": {"nodes": [peer, waiting], "removed": 1},
        "/tokens": {
            "tokens": [{"name": "anna", "scopes": ["mine"], "created_at": 1.0}],
            "name": "anna",
            "token": "qt_" + "a" * 32,
        },
        "/audit": {"acts": [{"at": 1.0, "who": "anna", "what": "POST /mine", "where": "10.0.0.1", "status": 200}]},
        "/names": {
            "names": [{"address": sender, "name": "the bakery", "kind": "given", "faucet": False}],
            "address": sender, "name": "the bakery",
        },
        "/vouchers": {
            "vouchers": [{"name": "class", "created_at": 1.5, "join": True, "miners": 2}],
            "name": "class", "voucher": "qv_x", "join": "ABC",
        },
        "/nodes/register": {"message": "m", "total_nodes": ["http://127.0.0.1:2"]},
        "/faucet": {"id": IDENTIFIER, "amount": "10", "message": "m"},
        f"/transactions/{IDENTIFIER}": transaction,
        f"/transactions/{IDENTIFIER}/proof": {"transaction": transaction, "branch": [], "block": hashes[2]},
        "/transactions/new": {"message": "Transaction will be added to Block 4.", "id": IDENTIFIER},
        **{
            f"/accounts/{address}": {"address": address, "balance": "9", "nonce": 0, "pending_nonce": 0}
            for address in (sender, ACCOUNTS[0].address)
        },
        "/mine": {"job": "j1", "message": "m"},
        "/tips": {
            "tips": [
                {
                    "hash": hashes[2], "height": 3, "chainwork": 3, "fork": {"height": 2, "hash": hashes[1]},
                    "state": "invalid", "proven": proven, "rule": "wrong_reward", "reason": "r", "size": 9,
                    "first_seen": 1.5, "peers": ["http://127.0.0.1:2"],
                }
                | ({} if proven else {"rule": None})
                for proven in (True, False)
            ]
        },
        "/mining/limit": {"hash_rate_limit": 2_000_000},
        "/rpc": {
            "jsonrpc": "2.0", "id": 1,
            "result": {"forkBlock": "0x2", "detached": [f"0x{hashes[2]}"], "attached": [f"0x{hashes[2]}"]},
        },
        "/jobs/j1": {"status": "finished", "block": hashes[2], "round": "r1"},
        "/rounds/r1": found_round,
    }  # fmt: skip


def commands(directory: Path) -> dict[str, list[tuple[str | Path, ...]]]:
    """Each command that asks a node, by its name in the table."""
    file = directory / "file"
    return {
        "status": [("status",)],
        "balance": [("balance",), ("balance", "alice", ACCOUNTS[0].address)],
        "wallet": [("wallet", "list"), ("wallet", "show", "alice")],
        "tx": [("tx", IDENTIFIER)],
        "faucet": [("faucet", ACCOUNTS[0].address), ("faucet", ACCOUNTS[0].address, "--wait", "--timeout", "0")],
        "send": [
            ("send", "--from", "alice", "--to", ACCOUNTS[0].address, "1"),
            ("send", "--from", "alice", "--to", ACCOUNTS[0].address, "1", "--wait", "--timeout", "0"),
        ],
        "mine": [("mine", "--wait", "0")],
        "limit": [("limit",), ("limit", "2M"), ("limit", "off")],
        "fork": [("fork", "--depth", "2", "--drop", IDENTIFIER)],
        "chain": [
            ("chain", "show"),
            ("chain", "tips"),
            ("chain", "verify"),
            ("chain", "export", directory / "out"),
            ("chain", "export", "-"),
        ],
        "backup": [("backup", directory / "out")],  # to standard output it writes what no terminal is for
        "anchor": [
            ("anchor", file, "--from", "alice", "--wait", "0"),
            ("anchor", "--proof-of", IDENTIFIER, "--wait", "0"),
        ],
        "doctor": [("doctor",)],
        "peers": [
            ("peers", "list"),
            ("peers", "add", "http://127.0.0.1:2"),
            ("peers", "remove", "http://127.0.0.1:2"),
        ],
        "token": [
            ("token", "new", "anna", "--scope", "mine"),
            ("token", "list"),
            ("token", "log"),
            ("token", "revoke", "anna"),
        ],
        "names": [
            ("names", "list"),
            ("names", "add", "alice", "the bakery"),
            ("names", "remove", "the bakery"),
        ],
        "voucher": [
            ("voucher", "new", "class", "--join"),
            ("voucher", "list"),
            ("voucher", "revoke", "class"),
        ],
    }  # fmt: skip


# Commands that ask no node, or start one; what they print of files and names is tried below.
WITHOUT_A_NODE = {
    "up", "demo", "logs", "reset", "restore", "verify-anchor", "bench", "repair", "help", "lab", "attack",
    "upgrade", *MORE["processes"]
}  # fmt: skip


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where a JSON value has strings."""
    if isinstance(value, str):
        yield path
    for name, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*path, name))


def spoil(value: Any, path: tuple[str | int, ...], change: Callable[[str], str]) -> Any:
    """The value with the string at `path` changed."""
    value = copy.deepcopy(value)
    inner = value
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = change(inner[path[-1]])
    return value


def test_every_command_is_in_one_of_the_lists(tmp_path: Path) -> None:
    # A new command that is in neither has not been tried against hostile text.
    assert set(commands(tmp_path)) | WITHOUT_A_NODE == set(COMMANDS)


@pytest.mark.parametrize("name", commands(Path()))
def test_no_answer_of_a_node_acts_on_the_terminal(name: str, node: FakeNode, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    sender = json.loads(run("wallet", "new", "alice", "--json").stdout)["address"]
    honest = honest_answers(sender)
    shown = 0
    for arguments in commands(tmp_path)[name]:
        node.answers = {path: (200, value) for path, value in honest.items()}
        node.asked.clear()
        harmless(run(*arguments, "--url", node.url))
        asked = {path.partition("?")[0] for _, path, *_ in node.asked}
        for path in sorted(asked & honest.keys()):
            for place in places(honest[path]):
                spoiled = spoil(honest[path], place, lambda text: text + HOSTILE)
                node.answers = {other: (200, value) for other, value in honest.items()} | {path: (200, spoiled)}
                for options in ((), ("--json",)):
                    result = run(*arguments, "--url", node.url, *options)
                    harmless(result)
                    shown += "owned" in result.output and "FORGED" in result.output
            for status in (400, 404, 503):
                problem = {"code": "no" + HOSTILE, "detail": "Sorry" + HOSTILE, "title": HOSTILE}
                node.answers = {other: (200, value) for other, value in honest.items()} | {path: (status, problem)}
                result = run(*arguments, "--url", node.url)
                harmless(result)
                shown += "owned" in result.output
        (tmp_path / "out").unlink(missing_ok=True)
    assert shown  # the text did come through, and was shown


def widest(result: Result) -> int:
    return max(map(terminal.cells, (result.stdout + result.stderr).split("\n")))


@pytest.mark.parametrize("columns", [20, 40, 80, 132])
@pytest.mark.parametrize("name", commands(Path()))
def test_no_line_is_wider_than_the_terminal(name: str, columns: int, node: FakeNode, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    sender = json.loads(run("wallet", "new", "alice", "--json").stdout)["address"]
    node.answers = {path: (200, value) for path, value in honest_answers(sender).items()}
    for arguments in commands(tmp_path)[name]:
        if arguments[-1] == "-":  # the chain itself
            continue
        assert widest(run(*arguments, "--url", node.url, columns=columns)) <= columns, arguments
        (tmp_path / "out").unlink(missing_ok=True)
        refused = run(*arguments, "--url", "http://127.0.0.1:1", columns=columns)
        assert widest(refused) <= columns, arguments


def helps(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The names of every command and subcommand."""
    yield path
    for name in getattr(group, "list_commands", lambda _: [])(None):
        yield from helps(group.get_command(None, name), (*path, name))


@pytest.mark.parametrize("path", list(helps(quarry)), ids=" ".join)
def test_no_line_of_help_is_wider_than_the_terminal(path: tuple[str, ...]) -> None:
    for columns in (60, 80, 132):
        result = run(*path, "--help", columns=columns)
        assert result.exit_code == 0 and widest(result) <= columns, result.stdout


@pytest.mark.parametrize("path", list(helps(quarry)), ids=" ".join)
def test_help_fits_a_terminal_of_24_rows(path: tuple[str, ...]) -> None:
    shown = run(*path, "--help", columns=80).stdout
    assert shown.count("\n") < 24, shown  # the last row is the shell's


def test_json_output_is_ascii_and_says_what_the_node_said(node: FakeNode) -> None:
    node.answers[f"/transactions/{IDENTIFIER}"] = 200, {"id": IDENTIFIER, "data": HOSTILE}
    result = run("tx", IDENTIFIER, "--url", node.url, "--json")
    assert result.stdout.isascii() and result.stdout.count("\n") == 1
    assert not any(character < " " or character == "\x7f" for character in result.stdout[:-1])
    assert json.loads(result.stdout)["data"] == HOSTILE


def test_a_memo_cannot_forge_a_field(node: FakeNode) -> None:
    memo = "lunch\nstatus        confirmed\nblock         " + "00" * 32
    node.answers[f"/transactions/{IDENTIFIER}"] = 200, {"id": IDENTIFIER, "status": "replaced", "data": memo, "at": 5.5}
    lines = run("tx", IDENTIFIER, "--url", node.url).stdout.splitlines()
    assert [item.split()[0] for item in lines] == ["id", "status", "data", "at"]
    assert lines[2] == r"data          lunch\nstatus        confirmed\nblock         " + "00" * 32


def test_a_long_memo_is_cut_for_people_and_whole_for_machines(node: FakeNode) -> None:
    node.answers[f"/transactions/{IDENTIFIER}"] = 200, {"id": IDENTIFIER, "data": "x" * 100_000}
    text = run("tx", IDENTIFIER, "--url", node.url).stdout
    assert len(text) < 5000 and "more characters" in text
    assert len(json.loads(run("tx", IDENTIFIER, "--url", node.url, "--json").stdout)["data"]) == 100_000


# --- Names and files -------------------------------------------------------------------------------------------------


def test_names_of_files_and_arguments_are_escaped(tmp_path: Path) -> None:
    hostile = "evil\x1b[2J\u202e\nFORGED"
    file = tmp_path / hostile
    file.write_text("no key")
    file.chmod(0o600)
    for arguments in (
        ("wallet", "show", hostile),
        ("wallet", "import", file, "--name", "x"),
        ("wallet", "import", file, "--name", "x", "--scheme", "ethereum"),
        ("wallet", "import", tmp_path / "none\x1b[2J", "--name", "x"),
        ("wallet", "sign", file, "--from", "nobody"),
        ("verify-anchor", file),
        ("verify-anchor", tmp_path / "none\x1b[2J"),
        ("verify-anchor", file, "--proof", file),
        ("chain", "import", file, "--redis-url", "redis://127.0.0.1:1/0"),
        ("chain", "import", tmp_path / "none\x1b[2J"),
        ("chain", "import", file, "--node", hostile, "--redis-url", "redis://127.0.0.1:1/0"),
        ("status", "--url", "http://127.0.0.1:1/\x1b[2J\nFORGED"),
        ("tx", hostile),
        ("up", "--spec", hostile),
        (hostile,),
        ("status", "--" + hostile),
        ("worker", "--queue", hostile),
        ("bench", "--plots", file),
        ("upgrade", "show", file, "--spec", "network"),
        ("upgrade", "check", tmp_path / "none\x1b[2J", "--spec", "network"),
        ("upgrade", "sign", file, "--spec", hostile, "--from", hostile),
    ):
        result = run(*arguments)
        assert result.exit_code != 0, arguments
        harmless(result)


def test_the_benchmarks_are_named_in_the_help_and_described_in_the_list() -> None:
    from api.cli.node.bench import BENCHMARKS

    listed, helped = run("bench", "--list").stdout, run("bench", "--help").stdout
    assert all(name in helped and f"\n{name} " in listed for name in BENCHMARKS)


def test_a_chain_file_cannot_act(tmp_path: Path) -> None:
    head = {"spec": SPEC.to_object() | {"name": "x" + HOSTILE}, "genesis": HOSTILE}
    (tmp_path / "chain").write_text(json.dumps(head) + "\n" + json.dumps(HOSTILE) + "\n")
    harmless(run("chain", "import", tmp_path / "chain", "--redis-url", "redis://127.0.0.1:1/0"))


# --- Live lines, and the end of a stream -----------------------------------------------------------------------------


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_live_line_takes_no_markup_and_no_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with line() as say:
        say("worker [red]x[/red] \x1b[2J\x07\u202e")
    written = screen.getvalue()
    assert r"[red]x[/red] \x1b[2J\x07\u202e" in written
    assert "\x1b[2J" not in written and "\x07" not in written and "\u202e" not in written


def test_a_terminal_of_another_encoding_gets_escapes() -> None:
    script = "from api.cli import terminal; terminal.show('Gr\\u00fc\\u00dfe \\u2026 \\U0001f40e')"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, check=True)
    assert done.stdout == rb"Gr\xfc\xdfe \u2026 \U0001f40e" + b"\n"


@pytest.mark.parametrize(
    ("target", "code", "said"),
    [
        ("| true", 1, b""),
        (">&-", 0, b""),
        ("2>&-", 0, b""),
        pytest.param(
            "> /dev/full",
            1,
            b"quarry: No space left on device.\n",
            marks=pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full"),
        ),
        pytest.param(
            "2> /dev/full", 0, b"", marks=pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
        ),
    ],
)
@pytest.mark.parametrize("options", ["", "--json"])
def test_an_output_that_takes_nothing_is_no_traceback(target: str, code: int, said: bytes, options: str) -> None:
    command = f"set -o pipefail; sleep 0.1; {sys.executable} -m api.cli wallet list {options} {target}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (code, said)


# --- One door --------------------------------------------------------------------------------------------------------

FILES = [path for path in sorted((ROOT / "api" / "cli").rglob("*.py")) if path.name != "terminal.py"]
_WRITERS = {"echo", "secho", "prompt", "confirm", "pause", "echo_via_pager", "getchar", "edit"}
_SHOWN = {"show", "say", "note", "tell", "Failure", "Refused", "Unreachable", "Trouble", "Finding"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_only_one_module_writes(path: Path) -> None:
    """The others hand their lines to `terminal`, one by one: a line break inside one would be shown as \\n."""
    for found in ast.walk(ast.parse(path.read_text("utf-8"))):
        at = f"{path.name}:{getattr(found, 'lineno', 0)}"
        if isinstance(found, ast.Attribute) and isinstance(found.value, ast.Name):
            assert not (found.value.id == "click" and found.attr in _WRITERS), at
            streams = found.value.id == "sys" and found.attr in ("stdout", "stderr", "stdin")
            assert not streams or path.name == "progress.py", at
        if isinstance(found, ast.Call):
            name = getattr(found.func, "id", None) or getattr(found.func, "attr", "")
            assert name not in ("print", "print_exc", "print_exception"), at
            if name in _SHOWN:
                texts = [item.value for item in ast.walk(found) if isinstance(item, ast.Constant)]
                assert not any("\n" in text for text in texts if isinstance(text, str)), at


# --- Printing without a wait ------------------------------------------------------------------------------------------


def test_lines_that_nobody_reads_are_not_waited_for() -> None:
    """A full pipe takes none; once it is read, it takes the next ones."""
    script = (
        "import sys\nfrom api.cli import terminal\n"
        "taken = [terminal.show_if_taken(str(number) * 200) for number in range(5000)]\n"
        "assert taken[0] and not taken[-1], taken\n"
        "print(sum(taken), file=sys.stderr, flush=True)\nsys.stdin.readline()\n"
        "assert terminal.show_if_taken('last')\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        number = int(process.stderr.readline())
        lines = [process.stdout.readline() for _ in range(number)]
        process.stdin.write("\n")
        process.stdin.close()
        assert process.stdout.read() == "last\n"
        assert process.wait(30) == 0, process.stderr.read()
    assert lines[0] == "0" * 200 + "\n"


@pytest.mark.parametrize(
    ("text", "hang", "lines"),
    [
        ("short", None, ["short"]),
        ("", None, [""]),
        ("- a step of many words", None, ["- a step of", "  many words"]),
        ("  Data  /a/long/path", None, ["  Data  /a/l", "      ong/pa", "      th"]),
        ("one two three four", 2, ["one two", "  three four"]),
        ("\x1b[2J", None, ["\\x1b[2J"]),
        ("長い長い長い長い", 0, ["長い長い長い", "長い"]),
    ],
)
def test_a_long_line_is_folded(text: str, hang: int | None, lines: list[str]) -> None:
    assert terminal.folded(text, 12, hang) == lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("twelve chars", "twelve chars"),
        ("thirteen char", "thirteen ch…"),
        ("長い長い長い長", "長い長い長…"),
        ("a\nb", "a\\nb"),
    ],
)
def test_a_text_is_cut_to_columns(text: str, shown: str) -> None:
    assert terminal.cut(text, 12) == shown
