"""`quarry up`, `demo` and the commands against a real node: real Valkey, real workers, real signals."""

import functools
import json
import os
import signal
import stat
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from services.launch.embedded import EmbeddedValkey
from services.wallet.development import ACCOUNTS
from tests.support.commands import UP, done, forked, get, launched, quarry, starting
from tests.support.processes import alive, children, command_of, linux_only, parent, processes_of
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def node(home: Path) -> Iterator[dict[str, Any]]:
    """One node for all tests that only talk to it."""
    with launched(home, as_users_do=True) as (_, ready):
        yield ready


# --- up --------------------------------------------------------------------------------------------------------------


def test_up_prints_where_everything_is(node: dict[str, Any], home: Path) -> None:
    assert node.keys() == {"nodes", "data_dir", "admin_token_file", "redis_url", "development_accounts"}
    assert node["data_dir"] == str(home)
    assert [item["name"] for item in node["nodes"]] == ["node1"]
    status = get(node["nodes"][0]["url"] + "/status")
    assert (status["node"], status["address"], status["automine"]) == ("node1", node["nodes"][0]["address"], True)
    assert status["workers"] == {"mining": 1, "network": 1}
    assert len(node["development_accounts"]) == 10
    assert node["development_accounts"][0] == {
        "address": ACCOUNTS[0].address,
        "private_key": ACCOUNTS[0].private_key,
    }
    with redis.Redis.from_url(node["redis_url"]) as store:
        assert store.config_get("appendfsync") == {"appendfsync": "always"}


@linux_only
def test_its_programs_reach_valkey_over_its_socket(node: dict[str, Any]) -> None:
    with redis.Redis.from_url(node["redis_url"]) as store:
        clients = store.client_list()
    far = [item for item in clients if "U" not in item["flags"]]
    assert len(clients) - len(far) >= 5, clients  # of the API, the door, the ticker and two workers at least
    assert len(far) <= 2, far  # this test's, and that of `up` itself


def test_secrets_are_for_the_owner_alone(node: dict[str, Any], home: Path) -> None:
    directory = home / "dev" / "node1"
    for path in (directory / "private.key", directory / "node.json", Path(node["admin_token_file"])):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    for log in (directory / "logs").iterdir():
        assert stat.S_IMODE(log.stat().st_mode) == 0o600
        assert node["redis_url"].split("@")[0].rpartition(":")[2] not in log.read_text()


@linux_only
def test_no_secret_stands_in_a_command_line(node: dict[str, Any], home: Path) -> None:
    token = Path(node["admin_token_file"]).read_text().strip()
    password = node["redis_url"].split("@")[0].rpartition(":")[2]
    found = processes_of(home)
    assert len(found) >= 7
    for command in found.values():
        assert token not in command
        assert password not in command


def test_a_second_up_is_told_what_is_in_the_way(node: dict[str, Any], home: Path, tmp_path: Path) -> None:
    port = node["nodes"][0]["url"].rpartition(":")[2]
    result = quarry(tmp_path, "up", "--port", port)
    assert result.returncode == 2
    assert result.stderr == f"quarry: Port {port} on 127.0.0.1 is in use: choose another with --port.\n"
    result = quarry(home, "up", "--port", "0")
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert "in use by process" in result.stderr
    assert get(node["nodes"][0]["url"] + "/readyz") is not None


def test_a_node_of_a_network_spec_has_no_development_accounts(tmp_path: Path) -> None:
    with launched(tmp_path, "--spec", "network", "--no-automine") as (_, ready):
        assert "development_accounts" not in ready
        status = get(ready["nodes"][0]["url"] + "/status")
        assert (status["spec"], status["automine"]) == ("network", False)
        assert (tmp_path / "network" / "node1" / "private.key").is_file()


def test_a_node_can_use_a_redis_that_is_there(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path / "elsewhere") as valkey:
        with launched(tmp_path / "home", "--redis-url", valkey.url) as (_, ready):
            assert ready["redis_url"] == valkey.url
            assert done(tmp_path / "home", "mine")[0]["index"] == 2
        assert not (tmp_path / "home" / "dev" / "node1" / "valkey").exists()
        assert valkey.alive


def test_a_program_that_cannot_start_is_named_with_its_last_words(tmp_path: Path) -> None:
    """The store holds another chain, which the API finds out first."""
    with EmbeddedValkey(tmp_path / "elsewhere") as valkey:
        with redis.Redis.from_url(valkey.url) as store:
            genesis = "00" * 32
            store.hset("quarry:{node1}:tip", mapping={"hash": genesis, "height": 1, "chainwork": 0, "supply": 0})
            store.rpush("quarry:{node1}:heights", genesis)
        with starting(tmp_path / "home", *UP, "--redis-url", valkey.url) as process:
            _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "quarry: api of node1 ended while starting" in errors
    assert genesis in errors
    assert "Traceback" not in errors.splitlines()[-1]
    assert processes_of(tmp_path) == {}


@linux_only
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything_and_leaves_no_process(
    tmp_path: Path, signum: signal.Signals, request: pytest.FixtureRequest
) -> None:
    # These tests may run under nohup, and a node that inherits an ignored SIGHUP rightly ignores it.
    request.addfinalizer(functools.partial(signal.signal, signal.SIGHUP, signal.signal(signal.SIGHUP, signal.SIG_DFL)))
    with launched(tmp_path, as_users_do=True) as (process, ready):
        assert len(processes_of(tmp_path)) >= 7
        assert done(tmp_path, "mine")[0]["index"] == 2
        process.send_signal(signum)
        assert process.wait(20) == 0
        assert processes_of(tmp_path) == {}
        assert not (tmp_path / "dev" / "node1" / "node.json").exists()
        assert get(ready["nodes"][0]["url"] + "/healthz") is None


@linux_only
@pytest.mark.parametrize("delay", [0.6, 1.2, 2.0])
def test_a_signal_while_starting_leaves_no_process(tmp_path: Path, delay: float) -> None:
    with starting(tmp_path, *UP) as process:
        eventually(lambda: (tmp_path / "dev" / "node1" / "private.key").exists())
        time.sleep(delay - 0.5)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)
        assert process.returncode in (0, 130)
        assert (process.returncode == 0) == bool(output)  # 0 only if it was ready already
        assert processes_of(tmp_path) == {}


@linux_only
def test_what_is_killed_comes_back_and_a_killed_up_does_not_keep_the_next_from_starting(tmp_path: Path) -> None:
    with launched(tmp_path, as_users_do=True) as (process, ready):
        url = ready["nodes"][0]["url"]
        first = done(tmp_path, "mine")[0]["hash"]
        with redis.Redis.from_url(ready["redis_url"]) as store:
            valkey = int(store.info("server")["process_id"])
        os.kill(valkey, signal.SIGKILL)
        eventually(lambda: get(url + "/readyz"))
        assert get(url + "/blocks/latest")["hash"] == first
        [worker] = [pid for pid, command in processes_of(tmp_path).items() if "--queue mining" in command][:1]
        os.kill(worker, signal.SIGKILL)
        mined = done(tmp_path, "mine", "--wait", "60")[0]
        assert mined["index"] == 3
        nursery = _nursery_of(process.pid)
        if nursery is not None:  # from which all programs are forked; they end with it, and are started one by one
            before = processes_of(tmp_path)
            assert [pid for pid in before if "--queue mining" in before[pid] and parent(pid) == nursery]
            forked = [pid for child in children(nursery) for pid in (child, *children(child))]
            os.kill(nursery, signal.SIGKILL)
            eventually(lambda: not any(map(alive, forked)), 20)  # else they answer a last time
            eventually(lambda: get(url + "/readyz"), 60)
            mined = done(tmp_path, "mine", "--wait", "60")[0]
            assert mined["index"] == 4
            assert _nursery_of(process.pid) is None
        tip = mined["index"]
        process.kill()
        process.wait()
    address = ready["nodes"][0]["address"]
    with launched(tmp_path) as (_, again):
        assert again["nodes"][0]["address"] == address
        assert get(again["nodes"][0]["url"] + f"/blocks/{tip}")["hash"] == mined["hash"]
        assert done(tmp_path, "mine")[0]["index"] == tip + 1


def _nursery_of(up: int) -> int | None:
    """The pid of the process from which `quarry up` forks its programs; None: it has none."""
    return next((pid for pid in children(up) if "services.launch.nursery_program" in command_of(pid)), None)


# --- Chains made from options -----------------------------------------------------------------------------------------

SMALL = ("--accounts", "3", "--balance", "5", "--chain-id", "31337", "--mnemonic-random")


def rpc(url: str, method: str, *params: object) -> Any:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(f"{url}/rpc", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)["result"]


def test_an_ephemeral_chain_is_made_used_and_gone(tmp_path: Path) -> None:
    home, config = tmp_path / "home", tmp_path / "config.json"
    with launched(home, "--ephemeral", *SMALL, "--config-out", str(config), as_users_do=True) as (process, ready):
        url = ready["nodes"][0]["url"]
        directory = Path(ready["data_dir"])
        assert directory.parent == home
        assert {path.name for path in directory.iterdir()} == {"mnemonic", "node1", "owner.lock", "spec.toml"}
        written = json.loads(config.read_text())
        assert stat.S_IMODE(config.stat().st_mode) == 0o600
        assert written["wallet"]["mnemonic"] == ready["mnemonic"]
        assert (written["chain_id"], written["url"]) == (31337, url)
        addresses = [account["address"] for account in ready["development_accounts"]]
        assert written["available_accounts"] == addresses
        assert written["private_keys"] == [account["private_key"] for account in ready["development_accounts"]]
        assert len(addresses) == 3
        assert int(rpc(url, "eth_chainId"), 16) == 31337
        assert [int(rpc(url, "eth_getBalance", address, "latest"), 16) for address in addresses] == [5 * 10**18] * 3
        # The commands find the node, and its accounts by their names.
        assert done(home, "wallet", "show", "account2")["address"] == addresses[2]
        assert [item["address"] for item in done(home, "wallet", "list")][-3:] == addresses
        done(home, "send", "--from", "account0", "--to", "account1", "2", "--wait")
        assert get(f"{url}/accounts/{addresses[1]}")["balance"] == "7"
        if sys.platform == "linux":
            beginning = " ".join(ready["mnemonic"].split()[:3])  # a single word, such as "chain", may be in a path
            assert not [command for command in processes_of(home).values() if beginning in command]
        for log in (directory / "node1" / "logs").iterdir():
            assert ready["mnemonic"] not in log.read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert list(home.iterdir()) == []


@linux_only
def test_what_a_killed_ephemeral_node_leaves_the_next_one_removes(tmp_path: Path) -> None:
    with launched(tmp_path, "--ephemeral", as_users_do=True) as (process, ready):
        process.kill()
        process.wait()
    assert Path(ready["data_dir"]).is_dir()
    with launched(tmp_path, "--ephemeral", *SMALL) as (_, again):
        assert [path.name for path in tmp_path.iterdir()] == [Path(again["data_dir"]).name]
        with redis.Redis.from_url(ready["redis_url"]) as store, pytest.raises(redis.ConnectionError):
            store.ping()  # the killed one's Valkey, which had outlived it


def test_a_made_chain_goes_on_with_its_faucet(tmp_path: Path) -> None:
    with launched(tmp_path, "--accounts", "2", "--balance", "50", "--mnemonic-random") as (_, ready):
        giver = ready["development_accounts"][0]["address"]
        sent = done(tmp_path, "faucet", "account1", "--wait")
        assert (sent["sender"], sent["amount"]) == (giver, "10")
    refused = quarry(tmp_path, "up", "--port", "0", "--accounts", "3")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "--accounts 2" in refused.stderr
    with launched(tmp_path) as (_, again):
        assert again["mnemonic"] == ready["mnemonic"]
        assert get(again["nodes"][0]["url"] + "/blocks/2")["transactions"][1]["id"] == sent["id"]


# --- The commands ----------------------------------------------------------------------------------------------------


def test_a_newcomers_way(node: dict[str, Any], home: Path) -> None:
    """Make a wallet, get coins, send some, look."""
    alice = done(home, "wallet", "new", "alice")["address"]
    bob = done(home, "wallet", "new", "bob")["address"]
    assert done(home, "mine", "2")[1]["index"] >= 3
    done(home, "send", "--from", "node", "--to", "alice", "1.5", "--wait")
    sent = done(home, "send", "--from", "alice", "--to", bob, "0.25", "--data", "thanks", "--fee", "0.01", "--wait")
    assert done(home, "tx", sent["id"])["data"] == "thanks"
    url = node["nodes"][0]["url"]
    assert get(f"{url}/accounts/{alice}")["balance"] == "1.24"
    assert get(f"{url}/accounts/{bob}")["balance"] == "0.25"
    assert {item["name"] for item in done(home, "wallet", "list")} >= {"alice", "bob", "node"}
    verified = done(home, "chain", "verify")
    assert verified["height"] == done(home, "status")["height"]
    shown = done(home, "chain", "show", "--limit", "2")["blocks"]
    assert [block["index"] for block in shown] == [verified["height"] - 1, verified["height"]]
    refused = quarry(home, "send", "--from", "bob", "--to", "alice", "99")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "insufficient_funds" in refused.stderr


def test_wallets_and_accounts_have_names_in_the_explorer(node: dict[str, Any], home: Path) -> None:
    address = done(home, "wallet", "new", "zoe")["address"]
    names = {item["name"]: item for item in done(home, "names", "list")["names"]}
    assert (names["zoe"]["address"], names["zoe"]["kind"]) == (address, "wallet")
    assert names["account0"]["faucet"] and names["node1"]["address"] == node["nodes"][0]["address"]
    assert done(home, "names", "add", "zoe", "savings")["name"] == "savings"
    assert done(home, "names", "remove", "savings") == {"address": address, "name": "zoe"}


def test_a_development_account_is_imported_and_spent(node: dict[str, Any], home: Path, tmp_path: Path) -> None:
    account = node["development_accounts"][4]
    key = tmp_path / "key.hex"
    key.touch(mode=0o600)
    key.write_text(account["private_key"])
    imported = done(home, "wallet", "import", key, "--scheme", "ethereum", "--name", "anvil4")
    assert imported["address"] == account["address"]
    recipient = "0x" + "11" * 20
    mined = done(home, "send", "--from", "anvil4", "--to", recipient, "2", "--fee", "0.0001", "--wait")
    assert (mined["scheme"], mined["status"]) == ("ethereum", "confirmed")
    assert get(f"{node['nodes'][0]['url']}/accounts/{recipient}")["balance"] == "2"


def test_a_file_is_anchored_and_verified(node: dict[str, Any], home: Path, tmp_path: Path) -> None:
    file = tmp_path / "contract.txt"
    file.write_text("I owe you a coin.")
    made = done(home, "anchor", file)
    offline = quarry(tmp_path / "nobody", "verify-anchor", file)
    assert offline.returncode == 0
    assert made["block"] in offline.stdout
    url = node["nodes"][0]["url"]
    assert done(home, "verify-anchor", file, "--block", made["block"], "--url", url)["compared"]
    again = quarry(home, "anchor", file)
    assert again.returncode == 1
    file.write_text("I owe you two coins.")
    assert quarry(home, "verify-anchor", file).returncode == 1


def test_the_doctor_finds_a_healthy_node_healthy(node: dict[str, Any], home: Path) -> None:
    found = {item["check"]: item for item in done(home, "doctor")}
    assert {item["verdict"] for item in found.values()} <= {"ok", "warn"}
    for check in ("keys", "api", "store", "ticker", "workers", "spec", "clock", "chain"):
        assert found[check]["verdict"] == "ok", found[check]


def test_the_doctor_names_what_is_wrong(node: dict[str, Any], home: Path, tmp_path: Path) -> None:
    key = home / "dev" / "node1" / "private.key"
    with redis.Redis.from_url(node["redis_url"]) as store:
        try:
            key.chmod(0o644)
            store.config_set("appendfsync", "everysec")
            store.config_set("maxmemory-policy", "allkeys-lru")
            result = quarry(home, "doctor", "--json")
        finally:
            key.chmod(0o600)
            store.config_set("appendfsync", "always")
            store.config_set("maxmemory-policy", "noeviction")
    assert result.returncode == 1
    found = {item["check"]: item for item in json.loads(result.stdout)}
    assert found["keys"]["verdict"] == "fail"
    assert "private.key" in found["keys"]["text"]
    assert found["store"]["verdict"] == "fail"
    assert "noeviction" in found["store"]["text"]
    nobody = quarry(tmp_path, "doctor", "--json", "--url", "http://127.0.0.1:1")
    assert nobody.returncode == 1
    assert {item["check"]: item["verdict"] for item in json.loads(nobody.stdout)}["api"] == "fail"


def test_a_chain_moves_by_file_even_if_the_import_is_cut(node: dict[str, Any], home: Path, tmp_path: Path) -> None:
    done(home, "mine", "4")
    file = tmp_path / "chain.jsonl"
    exported = done(home, "chain", "export", file)
    lines = file.read_bytes().splitlines(keepends=True)
    assert len(lines) == exported["height"] + 1
    part = tmp_path / "part.jsonl"
    part.write_bytes(b"".join(lines[:4]) + lines[4][:-20])
    with EmbeddedValkey(tmp_path / "store") as valkey:
        target = ("--redis-url", valkey.url, "--node", "copy")
        cut = quarry(home, "chain", "import", part, *target)
        assert cut.returncode == 1
        assert "Line 5" in cut.stderr
        first = done(home, "chain", "import", file, *target)
        assert (first["known"], first["new"], first["height"]) == (3, exported["height"] - 3, exported["height"])
        second = done(home, "chain", "import", file, *target)
        assert (second["new"], second["tip"]) == (0, first["tip"])
        forged = tmp_path / "forged.jsonl"
        block = json.loads(lines[2])
        forged.write_bytes(b"".join(lines[:2]) + json.dumps(block | {"proof": block["proof"] + 1}).encode() + b"\n")
        refused = quarry(home, "chain", "import", forged, *target)
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
        assert "another block at height 2" in refused.stderr
        with redis.Redis.from_url(valkey.url) as store:
            store.flushall()
        refused = quarry(home, "chain", "import", forged, *target)
        assert refused.returncode == 1
        assert "Block 2 breaks the rule" in refused.stderr


def test_a_stopped_node_takes_an_import(node: dict[str, Any], home: Path, tmp_path: Path) -> None:
    done(home, "mine")
    file = tmp_path / "chain.jsonl"
    exported = done(home, "chain", "export", file)
    other = tmp_path / "other"
    refused = quarry(other, "chain", "import", file)
    assert refused.returncode == 1
    (other / "dev" / "node1").mkdir(parents=True)
    assert done(other, "chain", "import", file)["height"] == exported["height"]
    assert done(other, "chain", "import", file)["new"] == 0
    if sys.platform == "linux":
        assert processes_of(other) == {}


# --- demo ------------------------------------------------------------------------------------------------------------


def test_the_demo_passes_and_leaves_nothing_behind(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    began = time.monotonic()
    result = quarry(tmp_path, "demo", as_users_do=True, TMPDIR=str(temporary), QUARRY_KERNEL="")
    assert result.returncode == 0, result.stdout + result.stderr
    assert time.monotonic() - began < 60
    assert "Balances are as calculated" in result.stdout
    assert list(temporary.iterdir()) == []
    if sys.platform == "linux":
        assert processes_of(temporary) == {}


def test_the_demo_says_what_it_did_to_machines_too(tmp_path: Path) -> None:
    with forked(tmp_path, "demo", "--json") as demo:  # it starts and stops others
        found = json.loads(demo.communicate(90)[0])
    assert (demo.returncode, found["ok"]) == (0, True)
    assert found["transactions"] == 23
