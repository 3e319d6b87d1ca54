"""The command line without a node: what it imports, how it refuses, where it looks for things."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.cli.client import NodeClient
from api.cli.group import COMMANDS
from api.cli.options import connect
from services.launch.failures import PortInUse
from services.launch.launcher import RunningNode
from services.launch.node_files import NodeFiles, running_nodes
from services.launch.node_plan import NodePlan, passed_settings
from services.system.programs import ROOT, scrubbed
from services.wallet import keyring
from services.wallet.development import ACCOUNTS
from shared.replay import Replay
from shared.rules import rules_for
from tests.support.cli import refused, run
from tests.support.fake_node import SPEC, FakeNode, make_chain, make_node

pytestmark = pytest.mark.usefixtures("own_environment")


@pytest.fixture
def node() -> Iterator[FakeNode]:
    fake = FakeNode()
    yield fake
    fake.close()


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


# --- The chain -------------------------------------------------------------------------------------------------------


def test_verify_replays_every_page(node: FakeNode) -> None:
    blocks = make_chain(60)
    node.serve_chain(blocks)
    result = run("chain", "verify", "--url", node.url, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["height"], found["transactions"], found["supply"]) == (60, 59, "59")
    pages = [path for _, path, *_ in node.asked if path.startswith("/chain")]
    assert len(pages) > 1


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"proof": -1}, "bad_block_field"),
        ({"difficulty": 2}, "wrong_difficulty"),
        ({"timestamp": 0}, "timestamp_too_low"),
        ({"transactions_root": "00" * 32}, "wrong_root"),
        ({"previous_hash": "00" * 32}, "wrong_previous_hash"),
        ({"index": 9}, "wrong_index"),
    ],
)
def test_verify_names_height_and_rule(node: FakeNode, change: dict[str, Any], rule: str) -> None:
    blocks = make_chain(30)
    node.serve_chain(blocks)
    blocks[24] = blocks[24] | change
    refused(run("chain", "verify", "--url", node.url), 1, "Block 25 ", rule)


def test_verify_refuses_another_chain(node: FakeNode) -> None:
    node.serve_chain(make_chain(3))
    refused(run("chain", "verify", "--url", node.url, "--spec", "dev"), 1, "wrong_genesis")


def test_verify_starts_again_when_the_chain_was_reorganised(node: FakeNode) -> None:
    """Between two pages the node adopts another branch: that is no broken rule."""
    old, new = make_chain(60), make_chain(60)
    rules = rules_for(SPEC)
    replay = Replay(rules)
    for block in new[:10]:
        replay.add(block)
    del new[10:]
    while len(new) < 60:  # rewards to somebody else from height 11 on
        template = rules.template(replay.window, [], ACCOUNTS[1].address, SPEC.genesis_timestamp + len(new))
        new.append(template.with_proof(0))
        replay.add(new[-1])
    node.serve_chain(old)
    serve_old = node.answers["/chain"][1]

    def first_page_then_reorganise(path: str) -> Any:
        page = serve_old(path)
        node.serve_chain(new)
        return page

    node.answers["/chain"] = 200, first_page_then_reorganise
    result = run("chain", "verify", "--url", node.url, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["tip"] == rules.read_block(new[-1]).hash


def test_export_writes_the_spec_and_the_blocks_as_they_are_hashed(node: FakeNode, tmp_path: Path) -> None:
    blocks = make_chain(25)
    node.serve_chain(blocks)
    file = tmp_path / "chain.jsonl"
    assert run("chain", "export", file, "--url", node.url).exit_code == 0
    head, *lines = file.read_bytes().splitlines()
    rules = rules_for(SPEC)
    assert json.loads(head) == {"spec": SPEC.to_object(), "genesis": rules.genesis().hash}
    assert [json.loads(line) for line in lines] == blocks
    assert lines[1] == rules.read_block(blocks[1]).canonical
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["chain.jsonl"]


def test_an_export_that_fails_leaves_the_old_file(node: FakeNode, tmp_path: Path) -> None:
    blocks = make_chain(25)
    node.serve_chain(blocks)
    blocks[23] = blocks[23] | {"previous_hash": "00" * 32}
    file = tmp_path / "chain.jsonl"
    file.write_text("old")
    refused(run("chain", "export", file, "--url", node.url), 1, "reorganised")
    assert file.read_text() == "old"


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "does not begin with a chain spec"),
        (b"[]\n", "does not begin with a chain spec"),
        (b"{\n", "Line 1"),
        (b'{"spec": {}, "genesis": ""}\n', "lacks name"),
        (json.dumps({"spec": SPEC.to_object(), "genesis": "00" * 32}).encode() + b"\n", "genesis block is not"),
    ],
)
def test_import_refuses_what_is_no_chain_file(tmp_path: Path, content: bytes, word: str) -> None:
    file = tmp_path / "chain.jsonl"
    file.write_bytes(content)
    refused(run("chain", "import", file, "--redis-url", "redis://127.0.0.1:1/0"), 1, word)


# --- Wallets and sending ---------------------------------------------------------------------------------------------


def test_wallets_are_made_listed_and_shown_without_their_secret(tmp_path: Path) -> None:
    made = json.loads(run("wallet", "new", "alice", "--json").stdout)
    assert json.loads(run("wallet", "list", "--json").stdout) == [made]
    shown = run("wallet", "show", "alice")
    assert made["address"] in shown.stdout
    seed = keyring.load(tmp_path / "home" / "wallets" / "alice").seed
    assert seed.hex() not in shown.stdout + json.dumps(made)
    refused(run("wallet", "new", "alice"), 1, "never replaced")
    refused(run("wallet", "show", "bob"), 1, "alice")


def test_the_wallets_directory_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARRY_WALLETS", str(tmp_path / "elsewhere"))
    assert run("wallet", "new", "alice").exit_code == 0
    assert (tmp_path / "elsewhere" / "alice" / "private.key").is_file()


def test_an_encrypted_wallet_opens_with_its_passphrase_only(monkeypatch: pytest.MonkeyPatch) -> None:
    refused(run("wallet", "new", "alice", "--passphrase"), 2, "QUARRY_PASSPHRASE")
    monkeypatch.setenv("QUARRY_PASSPHRASE", "horse")
    assert json.loads(run("wallet", "new", "alice", "--passphrase", "--json").stdout)["encrypted"]
    unsigned = json.dumps({"type": "transfer", "nonce": 0, "recipient": ACCOUNTS[0].address, "amount": "1", "fee": "0"})
    assert run("wallet", "sign", "-", "--from", "alice", stdin=unsigned).exit_code == 0
    monkeypatch.setenv("QUARRY_PASSPHRASE", "donkey")
    refused(run("wallet", "sign", "-", "--from", "alice", stdin=unsigned), 1, "does not open")
    monkeypatch.delenv("QUARRY_PASSPHRASE")
    refused(run("wallet", "sign", "-", "--from", "alice", stdin=unsigned), 1, "QUARRY_PASSPHRASE")


def test_sign_makes_what_a_node_accepts() -> None:
    from services.settings.table import load_spec

    run("wallet", "new", "alice")
    unsigned = {"type": "transfer", "nonce": 3, "recipient": ACCOUNTS[0].address.lower(), "amount": 2, "fee": "0.5"}
    result = run("wallet", "sign", "-", "--from", "alice", stdin=json.dumps(unsigned))
    assert result.exit_code == 0, result.output
    transaction = rules_for(load_spec("dev")).read_request(json.loads(result.stdout))
    assert (transaction.nonce, transaction.recipient) == (3, ACCOUNTS[0].address)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("nonsense", "JSON"),
        ('{"type": "transfer", "type": "transfer"}', "twice"),
        ('{"type": "transfer"}', "lacks the field amount"),
        (json.dumps({"sender": ACCOUNTS[0].address}), "not this wallet"),
        ('{"chain_id": 1}', "another chain"),
        ('{"signature": "00"}', "already has a signature"),
    ],
)
def test_sign_refuses_what_it_should_not_sign(text: str, word: str) -> None:
    run("wallet", "new", "alice")
    refused(run("wallet", "sign", "-", "--from", "alice", stdin=text), 1, word)


def test_an_ethereum_key_is_imported_from_a_private_file_or_standard_input(tmp_path: Path) -> None:
    file = tmp_path / "anvil.hex"
    file.write_text(ACCOUNTS[1].private_key + "\n")
    file.chmod(0o644)
    refused(run("wallet", "import", "--scheme", "ethereum", file), 2, "anvil.hex")
    file.chmod(0o600)
    imported = run("wallet", "import", "--scheme", "ethereum", file, "--json")
    assert json.loads(imported.stdout)["address"] == ACCOUNTS[1].address
    arguments = ("wallet", "import", "--scheme", "ethereum", "-", "--name", "two")
    assert ACCOUNTS[2].address in run(*arguments, stdin=ACCOUNTS[2].private_key).stdout
    refused(run("wallet", "import", "--scheme", "ethereum", "-", "--name", "x", stdin="12"), 1, "64 hexadecimal")
    refused(run("wallet", "import", "--scheme", "ethereum", "-", stdin="12"), 2, "--name")


def test_a_pem_key_is_imported_under_its_file_name(tmp_path: Path) -> None:
    key = keyring.create(tmp_path / "source")
    (tmp_path / "source" / "private.key").rename(tmp_path / "carol.pem")
    result = run("wallet", "import", tmp_path / "carol.pem", "--json")
    assert (json.loads(result.stdout)["name"], json.loads(result.stdout)["address"]) == ("carol", key.address)
    (tmp_path / "carol.pem").chmod(0o644)
    refused(run("wallet", "import", tmp_path / "carol.pem", "--name", "again"), 2, "carol.pem")


def serve_account(node: FakeNode, address: str) -> None:
    node.answers["/spec"] = 200, SPEC.to_object()
    node.answers["/status"] = 200, {"min_fee": "0.0001"}
    node.answers[f"/accounts/{address}"] = 200, {"address": address, "balance": "9", "nonce": 4, "pending_nonce": 6}


def test_send_signs_with_the_next_nonce_and_the_least_fee(node: FakeNode) -> None:
    address = json.loads(run("wallet", "new", "alice", "--json").stdout)["address"]
    serve_account(node, address)
    node.answers["/transactions/new"] = 201, {"id": "ab" * 32, "message": "Transaction will be added to Block 2."}
    result = run("send", "--url", node.url, "--from", "alice", "--to", ACCOUNTS[0].address.lower(), "0.25")
    assert result.exit_code == 0, result.output
    body = json.loads(next(body for method, path, body, _ in node.asked if path == "/transactions/new"))
    transaction = rules_for(SPEC).read_request(body)
    assert (transaction.nonce, transaction.amount, transaction.fee) == (6, 25 * 10**16, 10**14)
    assert transaction.recipient == ACCOUNTS[0].address


STATUS: dict[str, Any] = {
    "node": "node1", "spec": "unit", "height": 12, "chainwork": 11, "tip": "ab" * 32, "peers": [], "round": None,
    "mempool": {"size": 0, "bytes": 0}, "workers": {"mining": 1, "network": 1},
    "time": 1_750_000_000.0, "mining_waits_until": None, "wrong_clocks": [],
}  # fmt: skip


def test_status_says_until_when_mining_waits_and_whose_clock_is_wrong(node: FakeNode) -> None:
    node.answers["/status"] = 200, STATUS
    quiet = run("status", "--url", node.url)
    assert quiet.exit_code == 0 and "clock" not in quiet.stdout
    wrong = [{"name": "w1", "ahead": 300.0}, {"name": "api", "ahead": -5.0}]
    node.answers["/status"] = 200, {**STATUS, "mining_waits_until": 1_750_000_100.0, "wrong_clocks": wrong}
    lines = run("status", "--url", node.url).stdout.splitlines()
    assert any(line.startswith("Mining waits until 2025-06-15 15:08:20 UTC, 1 min 40 s from now") for line in lines)
    assert "The clock of worker w1 is 300 s ahead of the store's: set that machine's clock." in lines
    assert "The clock of the node's API is 5 s behind the store's: set that machine's clock." in lines
    node.answers["/status"] = 200, {name: STATUS[name] for name in STATUS if name not in ("time", "wrong_clocks")}
    assert run("status", "--url", node.url).exit_code == 0  # a node of the version before


@pytest.mark.parametrize("wait", [60, 200])
def test_mine_says_until_when_mining_waits(node: FakeNode, wait: int) -> None:
    message = "Mining waits until then, in words."
    until = STATUS["time"] + 100
    node.answers["/status"] = 200, STATUS
    node.answers["/mine"] = 202, {"job": "ab" * 16, "message": message, "mining_waits_until": until}
    node.answers["/jobs/" + "ab" * 16] = 200, {"status": "finished", "block": "cd" * 32, "round": None}
    block = {"index": 2, "hash": "cd" * 32, "transactions": [], "proof": 5}
    node.answers["/blocks/" + "cd" * 32] = 200, block
    result = run("mine", "--url", node.url, "--wait", str(wait))
    if wait < 100:  # it cannot come in that time
        refused(result, 1, message, "ab" * 16, "stays queued")
    else:
        assert result.exit_code == 0 and message in result.stderr + result.stdout


JOB = "ab" * 16


@pytest.mark.parametrize(
    ("answer", "searching", "words"),
    [
        ((200, {"status": "cancelled"}), None, ["the request was cancelled", "Nothing is being mined now."]),
        ((200, {"status": "cancelled"}), {"height": 3}, ["the request was cancelled", "Another search goes on"]),
        ((200, {"status": "finished", "block": "cd" * 32}), None, ["found before that", "cd" * 32]),
        ((404, {"code": "not_found", "detail": "No."}), None, [JOB, "not cancelled", "`quarry mine --cancel`"]),
        ((401, {"code": "admin_token_required", "detail": "No."}), None, ["QUARRY_TOKEN", "quarry mine --cancel"]),
    ],
)
def test_an_interrupted_search_is_cancelled_or_said_to_go_on(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, answer: tuple[int, Any], searching: Any, words: list[str]
) -> None:
    """Ctrl-C comes between two questions about the request."""
    node.answers["/mine"] = 202, {"job": JOB}
    node.answers["/status"] = 200, {**STATUS, "round": searching}
    node.answers[f"/jobs/{JOB}"] = 200, {"status": "started", "block": None, "round": None}

    def interrupted(*_: object) -> str:
        node.answers[f"/jobs/{JOB}"] = answer
        raise KeyboardInterrupt

    monkeypatch.setattr("api.cli.node.mine._progress", interrupted)
    refused(run("mine", "--url", node.url), 130, "Interrupted", *words)
    deletes = [path for method, path, *_ in node.asked if method == "DELETE"]
    assert deletes == [f"/jobs/{JOB}"]


@pytest.mark.parametrize(("presses", "cancelled"), [(1, True), (2, False)])
def test_an_interrupt_waits_for_the_answer_that_names_the_request(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, presses: int, cancelled: bool
) -> None:
    node.answers["/mine"] = 202, {"job": JOB}
    node.answers["/status"] = 200, {**STATUS, "round": None}
    node.answers[f"/jobs/{JOB}"] = 200, {"status": "cancelled"}
    post = NodeClient.post

    def pressed(*args: Any, **kwargs: Any) -> Any:
        found = post(*args, **kwargs)
        for _ in range(presses):
            signal.raise_signal(signal.SIGINT)
        return found

    monkeypatch.setattr(NodeClient, "post", pressed)
    words = "the request was cancelled" if cancelled else "before the node answered"
    refused(run("mine", "--url", node.url), 130, "Interrupted", words)
    assert [path for method, path, *_ in node.asked if method == "DELETE"] == [f"/jobs/{JOB}"] * cancelled


def test_cancelling_says_what_was_cancelled(node: FakeNode) -> None:
    node.answers["/jobs"] = 200, {"cancelled": 1, "round": "ab" * 16}
    assert run("mine", "--cancel", "--url", node.url).stdout == (
        "Cancelled 1 request and the search; `quarry mine` begins again.\n"
    )
    node.answers["/jobs"] = 200, {"cancelled": 0, "round": None}
    assert "Nothing was being mined" in run("mine", "--cancel", "--url", node.url).stdout
    refused(run("mine", "--cancel", "3", "--url", node.url), 2, "leave out the number")
    node.answers["/jobs"] = 401, {"code": "admin_token_required", "detail": "This needs the admin token."}
    refused(run("mine", "--cancel", "--url", node.url), 1, "--token", "QUARRY_TOKEN")
    refused(run("mine", "--cancel", "--url", node.url, "--token", "no-such-file"), 2, "QUARRY_TOKEN", "no-such-file")
    assert {method for method, path, *_ in node.asked} == {"DELETE"}


def test_a_token_file_is_sent_and_a_bad_one_refused(node: FakeNode, tmp_path: Path) -> None:
    file = tmp_path / "token"
    node.answers["/jobs"] = 200, {"cancelled": 0, "round": None}
    for content, mode, word in (("short", 0o600, "fewer"), ("x" * 40, 0o644, "token"), ("", 0o600, "empty")):
        file.write_text(content)
        file.chmod(mode)
        refused(run("mine", "--cancel", "--url", node.url, "--token", file), 2, "--token", word)
    file.write_text("t" * 40 + "\n")
    file.chmod(0o600)
    assert run("mine", "--cancel", "--url", node.url, "--token", file).exit_code == 0
    assert [headers["Authorization"] for *_, headers in node.asked] == ["Bearer " + "t" * 40]


def test_a_scheme_that_is_missing_is_http(node: FakeNode) -> None:
    node.answers["/status"] = 200, STATUS
    assert run("status", "--url", node.url.removeprefix("http://")).exit_code == 0


def test_send_refuses_a_mistyped_address(node: FakeNode) -> None:
    run("wallet", "new", "alice")
    wrong = ACCOUNTS[0].address.replace("f39F", "f39f")
    refused(run("send", "--url", node.url, "--from", "alice", "--to", wrong, "1"), 1, "checksum")
    assert node.asked == []


@pytest.mark.parametrize("digits", ["0", "5eed"])
def test_send_refuses_an_address_without_a_key(node: FakeNode, monkeypatch: pytest.MonkeyPatch, digits: str) -> None:
    monkeypatch.setenv("QUARRY_PASSPHRASE", "horse")
    run("wallet", "new", "alice", "--passphrase")
    monkeypatch.setenv("QUARRY_PASSPHRASE", "")  # said before it would be asked for
    node.answers["/spec"] = 200, SPEC.to_object()
    lost = "0x" + digits.rjust(40, "0")
    refused(run("send", "--url", node.url, "--from", "alice", "--to", lost, "1"), 1, "nobody has its key")
    assert [path for _, path, _, _ in node.asked] == ["/spec"]


@pytest.mark.parametrize("kind", ["transfer", "approve"])
@pytest.mark.parametrize("digits", ["0", "5eed"])
def test_sign_refuses_an_address_without_a_key(kind: str, digits: str) -> None:
    run("wallet", "new", "alice")
    unsigned = {"type": kind, "nonce": 0, "recipient": "0x" + digits.rjust(40, "0"), "amount": "1", "fee": "0"}
    refused(run("wallet", "sign", "-", "--from", "alice", stdin=json.dumps(unsigned)), 1, "nobody has its key")


def test_a_lost_answer_is_asked_for_again_with_the_same_transaction(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.cli.wallet.transfers._PAUSE", 0.0)
    address = json.loads(run("wallet", "new", "alice", "--json").stdout)["address"]
    serve_account(node, address)
    node.answers["/transactions/new"] = 503, {"code": "store_unavailable", "detail": "The store does not answer."}
    result = run("send", "--url", node.url, "--from", "alice", "--to", ACCOUNTS[0].address, "1")
    sent = [body for _, path, body, _ in node.asked if path == "/transactions/new"]
    assert len(sent) == 3
    assert len(set(sent)) == 1
    refused(result, 3, rules_for(SPEC).read_request(json.loads(sent[0])).id)


def test_a_wait_that_ends_says_why(node: FakeNode) -> None:
    client = NodeClient(node.url)
    node.answers["/transactions/ab"] = 200, {"id": "ab", "status": "replaced", "reason": "a higher fee"}
    with pytest.raises(Exception, match="a higher fee"):
        client.transaction_until_mined("ab", 0.0)
    node.answers["/transactions/ab"] = 200, {"id": "ab", "status": "pending"}
    with pytest.raises(Exception, match="still waits"):
        client.transaction_until_mined("ab", 0.0)


GAP = {"missing_nonces": [[6, 49]], "waits_for": "nonces 6-49 of this account"}


def test_a_wait_says_at_once_which_nonces_are_missing(node: FakeNode) -> None:
    address = json.loads(run("wallet", "new", "alice", "--json").stdout)["address"]
    serve_account(node, address)
    node.answers["/transactions/new"] = 201, {"id": "x", "message": "m"}
    told: list[str] = []
    client = NodeClient(node.url)
    answers = iter([GAP, GAP, {"waits_for": "nonce 6 of this account"}, {"block": "cd" * 32}])
    node.answers["/transactions/ab"] = 200, lambda path: {"id": "ab", "status": "pending"} | next(answers)
    client.transaction_until_mined("ab", 30.0, told.append)
    assert told == [f"The transaction waits for {what} of this account." for what in ("nonces 6-49", "nonce 6")]

    def pending(path: str) -> dict[str, Any]:
        return {"id": path.rpartition("/")[2], "status": "pending"} | GAP

    arguments = ("send", "--url", node.url, "--from", "alice", "--to", ACCOUNTS[0].address, "1", "--nonce", "50")
    sent = run(*arguments, "--json")
    identifier = json.loads(sent.stdout)["id"]
    node.answers[f"/transactions/{identifier}"] = 200, pending
    for options in ((), ("--json",)):
        result = run(*arguments, "--wait", "--timeout", "0", *options)
        assert result.exit_code == 1
        assert result.stderr.splitlines() == [
            "The transaction waits for nonces 6-49 of this account.",
            f"quarry: The transaction {identifier} still waits for nonces 6-49 of this account after 0 s; send these "
            "first.",
        ]
    lines = run("tx", identifier, "--url", node.url).stdout.splitlines()
    assert lines[-1] == "waits_for     nonces 6-49 of this account" and "[[" not in "".join(lines)


def test_addresses_of_own_keys_have_their_names(node: FakeNode) -> None:
    address = json.loads(run("wallet", "new", "alice", "--json").stdout)["address"]
    found = {"id": "ab" * 32, "sender": address, "recipient": ACCOUNTS[3].address, "admitted_at": 1.5, "at": 1e300}
    node.answers["/transactions/" + "ab" * 32] = 200, found
    lines = run("tx", "ab" * 32, "--url", node.url).stdout.splitlines()
    assert lines[1:3] == [f"sender        {address} (alice)", f"recipient     {ACCOUNTS[3].address}"]
    assert lines[3].startswith("admitted_at   1.5 (19") and lines[4] == "at            1e+300 (1e+300)"


# --- What `up` starts ------------------------------------------------------------------------------------------------


def plan(tmp_path: Path, **change: Any) -> NodePlan:
    return NodePlan("node1", NodeFiles(tmp_path / "node1"), "dev", **{"port": 0, **change})


def test_a_port_in_use_is_refused_before_anything_is_made(node: FakeNode, tmp_path: Path) -> None:
    running = RunningNode(plan(tmp_path, port=int(node.url.rpartition(":")[2])))
    with pytest.raises(PortInUse, match="in use"):
        running.allocate()
    running.stop()
    assert not (tmp_path / "node1").exists()


def test_nodes_that_start_together_take_the_next_free_rpc_port_unless_one_is_asked_for(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        first = taken.getsockname()[1]
        nodes = [
            RunningNode(plan(tmp_path / str(number), rpc_port=first, rpc_port_is_asked=False)) for number in range(2)
        ]
        exact = RunningNode(plan(tmp_path / "exact", rpc_port=first, rpc_port_is_asked=True))
        try:
            for node in nodes:
                node.allocate()
            assert first < nodes[0].rpc_port < nodes[1].rpc_port
            assert nodes[0].rpc_url == f"http://127.0.0.1:{nodes[0].rpc_port}"
            assert nodes[0].ws_url == f"ws://127.0.0.1:{nodes[0].rpc_port}"
            with pytest.raises(PortInUse, match=rf"Port {first} on 127\.0\.0\.1 is in use: .* --rpc-port\."):
                exact.allocate()
        finally:
            for node in (*nodes, exact):
                node.stop()


def test_a_node_shows_the_names_of_wallets_only_where_it_is_told_which(tmp_path: Path) -> None:
    def directory(**change: Any) -> str:
        return plan(tmp_path, **change).environment("", 5000, "redis://h")["QUARRY_NAMED_WALLETS"]

    assert directory() == ""
    assert directory(wallets=tmp_path) == str(tmp_path)
    assert directory(wallets=tmp_path, settings={"QUARRY_NAMED_WALLETS": "/others"}) == "/others"


def test_settings_of_the_client_stay_out_of_the_node() -> None:
    given = {"QUARRY_KERNEL": "plain", "QUARRY_PASSPHRASE": "horse", "QUARRY_TOKEN": "t", "PATH": "/bin", "SECRET": "s"}
    assert passed_settings(given) == {"QUARRY_KERNEL": "plain"}


def test_a_nodes_environment_has_no_secrets_of_ours() -> None:
    given = {"PATH": "/bin", "AWS_SECRET": "s", "QUARRY_PASSPHRASE": "horse", "LC_ALL": "C", "HOME": "/root"}
    assert {name: value for name, value in scrubbed(given).items() if name != "PYTHONPATH"} == {
        "PATH": "/bin",
        "LC_ALL": "C",
        "HOME": "/root",
    }


def test_keys_and_token_are_made_once_and_private(tmp_path: Path) -> None:
    files = NodeFiles(tmp_path / "dev" / "node1")
    address = files.prepare()
    token = files.admin_token.read_text()
    assert files.prepare() == address
    assert files.admin_token.read_text() == token
    assert files.admin_token.stat().st_mode & 0o777 == 0o600
    assert len(token) > 40
    files.admin_token.chmod(0o640)
    with pytest.raises(keyring.UnsafePermissions, match="admin-token"):
        files.prepare()
