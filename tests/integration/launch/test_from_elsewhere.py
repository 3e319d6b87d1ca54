"""A node whose data directory other commands do not know: its address is enough, as long as the user is the same."""

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from services.launch import node_register
from services.system.programs import ROOT, module_command
from services.wallet import keyring
from tests.support.cli import refused, run
from tests.support.commands import environment, launched
from tests.support.waiting import eventually


@pytest.fixture
def client_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data directory of the commands, in which there is no node."""
    for name in ("QUARRY_URL", "QUARRY_TOKEN", "QUARRY_WALLETS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QUARRY_DATA_HOME", str(tmp_path / "client"))
    return tmp_path / "client"


def result(*arguments: str) -> Any:
    found = run(*arguments, "--json")
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


def test_a_first_coin_from_another_data_directory(tmp_path: Path, client_home: Path) -> None:
    place = tmp_path / "node"
    with launched(tmp_path / "other", "--data-dir", str(place), "--no-automine") as (process, ready):
        url = str(ready["nodes"][0]["url"])
        at = ("--url", url.removeprefix("http://"))
        assert result("wallet", "show", "node", *at)["address"] == ready["nodes"][0]["address"]
        refused(run("wallet", "show", "node"), 1, "No node runs on this machine")

        alice = result("wallet", "new", "alice")["address"]
        assert [block["index"] for block in result("mine", *at)] == [2]
        result("send", "--from", "node", "--to", "alice", "0.5", *at)
        result("mine", *at)
        assert [(item["name"], item["balance"]) for item in result("balance", "alice", *at)] == [("alice", "0.5")]
        assert {item["name"]: item["balance"] for item in result("wallet", "list", *at)}["alice"] == "0.5"

        early = run("send", "--from", "alice", "--to", alice, "0", "--nonce", "2", "--wait", "--timeout", "0", *at)
        assert "The transaction waits for nonces 0-1 of this account." in early.stderr and early.exit_code == 1
        assert run("chain", "show", "3", *at).stdout.startswith("Block 3\n")

        found = {item["check"]: item for item in result("doctor", *at)}
        assert {found[name]["verdict"] for name in ("keys", "store", "ticker", "ledger")} == {"ok"}
        assert str(place) in found["keys"]["text"]
        assert result("peers", "add", "http://127.0.0.1:1", *at)["peers"] == ["http://127.0.0.1:1"]  # with the token
        refused(run("peers", "add", url, *at), 1, "is this node itself")
        assert result("mine", "--cancel", *at) == {"cancelled": 0, "round": None}
        assert run("logs", "api", *at).exit_code == 0

        refused(run("reset", "--yes", "--data-dir", place), 1, "dev/node1 runs")
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    assert url not in [record.url for _, record in node_register.nodes()]
    key = keyring.address_of(place / "dev" / "node1")
    assert result("reset", "--yes", "--data-dir", str(place)) == {"removed": ["dev/node1"], "keys": False}
    assert not (place / "dev" / "node1" / "valkey").exists()
    assert keyring.address_of(place / "dev" / "node1") == key


def test_ctrl_c_ends_a_search_that_would_take_for_ever(tmp_path: Path, client_home: Path) -> None:
    (tmp_path / "hard.toml").write_text(
        f'name = "hard"\nchain_id = 4713\ngenesis_timestamp = 1700000000\ndifficulty = {2**50}\n'
    )
    with launched(tmp_path / "other", "--spec", str(tmp_path / "hard.toml"), "--no-automine") as (_, ready):
        at = ("--url", str(ready["nodes"][0]["url"]))
        command = module_command("api.cli", "mine", *at)
        with subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(client_home) | {"PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
        ) as mining:
            eventually(lambda: result("status", *at)["round"])
            mining.send_signal(signal.SIGINT)
            said = mining.communicate(timeout=30)[1]
        assert mining.returncode == 130 and "the request was cancelled. Nothing is being mined now." in said
        status = result("status", *at)
        assert status["round"] is None and status["requests"] == 0
