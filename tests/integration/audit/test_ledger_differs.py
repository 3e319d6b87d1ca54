"""A node whose stored state differs: it says so everywhere and refuses; a damaged append-only file; killed repairs."""

import json
import os
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from redis import Redis

from api.app import create_app
from api.cli.chain.comparison import compare_store
from services.connections.servers import connect_for_requests
from services.errors import LedgerDiffers
from services.launch.embedded import EmbeddedValkey
from services.node import Node
from services.store.faults import Finding
from services.system.programs import ROOT, scrubbed
from tests.support.commands import launched, quarry
from tests.support.http import Client, FlaskDoor
from tests.support.keys import ALICE, BOB, TOKEN
from tests.support.nodes import MakeNode, TestNode, grow, redis_of, transfer
from tests.support.specs import CHAIN_ID, make_spec, write_spec
from tests.support.stored import assert_store_equals_replay


@pytest.fixture(name="differing")
def differing_fixture(make_node: MakeNode) -> Node:
    """A node with some blocks, one account of which is falsified, started again."""
    node = make_node(spec={"difficulty": 1})
    grow(node, transfer(ALICE, 0))
    grow(node, transfer(ALICE, 1))
    assert node.watchman.at_start() is None
    falsify(node, BOB.address)
    assert node.watchman.at_start() is not None
    return node


def falsify(node: Node, address: str) -> None:
    redis_of(node).hset(node.chain.keys.accounts, address, "5:0")


def test_every_door_says_so_and_refuses(differing: Node) -> None:
    node = differing
    client = Client(FlaskDoor(create_app(node, TOKEN)))
    before = node.pool.totals()

    def refused(answer: Any) -> None:
        assert answer.status == 503, answer
        assert answer.json["code"] == "ledger_differs" and BOB.address in answer.json["detail"]

    refused(client.get("/readyz"))
    assert client.get("/healthz").status == 200
    refused(client.post("/transactions/new", transfer(ALICE, 2)))
    refused(client.post("/transactions/batch", {"transactions": [transfer(ALICE, 2), transfer(ALICE, 3)]}))
    refused(client.post("/mine"))
    refused(client.get("/mine"))
    refused(client.get("/nodes/resolve"))
    assert node.pool.totals() == before and node.mining.situation().requests == 0

    status = client.get("/status").json["ledger"]
    assert (status["state"], status["differences"]) == ("differs", 1)
    assert status["findings"] == [
        {"kind": "account", "name": BOB.address, "stored": "5:0", "right": f"{1002 * 10**18}:0"}
    ]
    assert "quarry_ledger_differs 1.0" in client.get("/metrics").body.decode()
    for page in ("/", "/pool", "/mining", "/block/2"):
        text = client.get(page, Accept="text/html").body.decode()
        assert re.search(r'<p class="fault" role="alert">.*' + BOB.address, text), page
    raw = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": [_raw(node)]}
    error = client.post("/rpc", raw).json["error"]
    assert error["code"] == -32000 and "quarry repair" in error["message"]

    # Reading still works.
    assert client.get("/blocks/latest").json["index"] == 3
    assert client.get(f"/accounts/{BOB.address}").json["balance"] == "0.000000000000000005"
    node.repair.run()
    assert client.get("/readyz").status == 200
    assert client.get("/status").json["ledger"] == {"state": "ok"}
    assert "quarry_ledger_differs 0.0" in client.get("/metrics").body.decode()
    assert 'class="fault"' not in client.get("/", Accept="text/html").body.decode()
    assert client.post("/transactions/new", transfer(ALICE, 2)).status == 201


def _raw(node: Node) -> str:
    from shared.ethereum import sign_raw

    key = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
    return "0x" + sign_raw(private_key=key, to=BOB.address, chain_id=CHAIN_ID, nonce=0, gas=21_000, gas_price=0).hex()


def test_nothing_is_adopted_from_peers(differing: Node) -> None:
    resolution = differing.resolver.resolve()
    assert not resolution.replaced and resolution.asked == 0
    assert "quarry repair" in resolution.notes[0]
    assert differing.rounds.ensure_open() is None


def test_the_stored_ledger_is_shown_page_by_page(make_node: MakeNode) -> None:
    node = make_node(spec={"difficulty": 1})
    grow(node, transfer(ALICE, 0))
    redis_of(node).hset(node.chain.keys.accounts, mapping={f"0x{i:040x}": "1:0" for i in range(3000)})
    client = Client(FlaskDoor(create_app(node, TOKEN)))
    found, cursor, pages = {}, "0", 0
    while cursor is not None:
        page = client.get(f"/ledger?kind=accounts&cursor={cursor}").json
        assert page["tip"] == node.chain.tip().hash
        found.update(page["entries"])
        cursor, pages = page["next"], pages + 1
    stored = cast(dict[bytes, bytes], redis_of(node).hgetall(node.chain.keys.accounts))
    assert found == {name.decode(): value.decode() for name, value in stored.items()} and pages > 1
    assert client.get("/ledger?kind=allowances").json["entries"] == {}
    for query in ("kind=blocks", "cursor=-1", "cursor=x", "cursor=٣", "cursor=" + "9" * 20, "cursor=" + "9" * 99):
        assert client.get(f"/ledger?{query}").status == 400, query


# --- the commands ---


def test_the_commands_name_it_and_repair_it(tmp_path: Path, valkey: EmbeddedValkey, redis: Redis) -> None:
    """By the store's address alone, without a node that runs."""
    here = TestNode(redis)
    for nonce in range(3):
        here.mine(here.sign(ALICE, nonce))
    spec = str(write_spec(tmp_path / "spec.toml", make_spec()))
    command = ("repair", "--redis-url", valkey.url, "--spec", spec)
    result = quarry(tmp_path, *command)
    assert (result.returncode, result.stdout) == (0, "Nothing to repair: every record is what the 4 blocks give.\n")
    keys = here.node.chain.keys
    redis.hset(keys.accounts, ALICE.address, "\x1b]0;5:3")
    result = quarry(tmp_path, *command, "--json")
    assert result.returncode == 0, result.stderr
    done = json.loads(result.stdout)
    assert done["repaired"] and done["differences"] == 1 and done["height"] == 4
    assert done["findings"][0]["name"] == ALICE.address and "\\x1b" in done["findings"][0]["stored"]
    assert_store_equals_replay(here.node, redis)
    # A damaged block is named and refused, and given up only with --truncate.
    tip = here.node.chain.tip().hash
    text = cast(bytes, redis.hget(keys.blocks, tip))
    redis.hset(keys.blocks, tip, cast(str, text.replace(b'"proof": 0', b'"proof": 1')))
    result = quarry(tmp_path, *command)
    assert result.returncode == 1 and "Block 4 is damaged" in result.stderr and "--truncate" in result.stderr
    assert result.stderr.count("\n") == 1
    result = quarry(tmp_path, *command, "--truncate", "--json")
    assert result.returncode == 0 and json.loads(result.stdout)["height"] == 3
    assert_store_equals_replay(here.node, redis)
    assert quarry(tmp_path, "repair", "--redis-url", valkey.url, "--node", "nobody").returncode == 1


def test_comparing_the_store_marks_what_differs(valkey: EmbeddedValkey, redis: Redis) -> None:
    """So a node that runs stops at once, and not at its next start."""
    here = TestNode(redis)
    here.mine(here.sign(ALICE, 0))
    node, spec = here.node, here.node.settings.spec
    genesis = node.rules.genesis().hash
    compare = partial(compare_store, valkey.url, node.settings.node, spec, genesis, lambda done, total: None)
    assert compare() == [] and node.faults.read() is None
    redis.hset(node.chain.keys.accounts, ALICE.address, "5:1")
    (finding,) = [item for item in cast(list[Finding], compare()) if item.kind == "account"]
    assert (finding.name, finding.stored) == (ALICE.address, "5:1")
    with pytest.raises(LedgerDiffers):
        node.requests.ask()
    marked = node.faults.read()
    assert compare() and node.faults.read() == marked, "the first mark stays"
    assert node.repair.run().findings and node.faults.read() is None


_SLOW = """
import sys, time
from services.store.mender import Mender
real = Mender.flush
def flush(self):
    real(self)
    print("written", flush=True)
    time.sleep(60)
Mender.flush = flush
from api.cli import main
sys.argv[0] = "quarry"
sys.exit(main())
"""


def test_a_repair_that_is_killed_leaves_a_node_that_says_so_and_can_be_repaired(
    tmp_path: Path, valkey: EmbeddedValkey, redis: Redis
) -> None:
    here = TestNode(redis)
    for nonce in range(3):
        here.mine(here.sign(ALICE, nonce))
    spec = write_spec(tmp_path / "spec.toml", make_spec())
    keys = here.node.chain.keys
    redis.hset(keys.accounts, ALICE.address, "5:3")
    redis.hdel(keys.undo, here.node.chain.tip().hash)
    with subprocess.Popen(
        [sys.executable, "-c", _SLOW, "repair", "--redis-url", valkey.url, "--spec", str(spec)],
        cwd=ROOT, env=scrubbed(os.environ), stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stdout.readline() == "written\n"
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    fault = here.node.faults.read()
    assert fault is not None and fault.repairing
    with pytest.raises(LedgerDiffers):
        here.admit(ALICE, 3)
    here.build(redis).begin()  # a start in between changes nothing about it
    assert here.node.faults.read() == fault
    assert quarry(tmp_path, "repair", "--redis-url", valkey.url, "--spec", str(spec)).returncode == 0
    assert here.node.faults.read() is None
    assert_store_equals_replay(here.node, redis)


def test_a_flipped_byte_in_the_append_only_file_is_found(tmp_path: Path) -> None:
    """Its framing is whole, so the server starts; but a balance in it has changed."""
    directory = tmp_path / "valkey"
    with EmbeddedValkey(directory, durability="always") as server, connect_for_requests(server.url) as redis:
        here = TestNode(redis)
        for nonce in range(3):
            here.mine(here.sign(ALICE, nonce, amount="1"))
        right = cast(bytes, redis.hget(here.node.chain.keys.accounts, ALICE.address))
    file = next(directory.glob("appendonlydir/*.incr.aof"))
    text = file.read_bytes()
    assert text.count(right) == 1
    file.write_bytes(text.replace(right, right.replace(b"997", b"957")))
    with EmbeddedValkey(directory, durability="always") as server, connect_for_requests(server.url) as redis:
        again = TestNode(redis)
        again.node.begin()
        fault = again.node.faults.read()
        assert fault is not None
        wrong = right.replace(b"997", b"957").decode()
        assert f"account {ALICE.address}: stored {wrong}, right {right.decode()}" in fault.sentence
        again.node.repair.run()
        assert_store_equals_replay(again.node, redis)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_node_of_real_processes_from_a_falsified_balance_to_the_repair(tmp_path: Path) -> None:
    """After a falsified balance and a restart, every command reports it. The repair works beside the running node."""
    home = tmp_path / "home"
    with launched(home) as (_, info):
        url = info["nodes"][0]["url"]
        assert quarry(home, "mine", "2").returncode == 0
        address = info["development_accounts"][3]["address"]
        with Redis.from_url(info["redis_url"]) as redis:
            redis.hset("quarry:{node1}:accounts", address, "5:0")
        for command in (("chain", "verify"), ("doctor",)):
            assert quarry(home, *command).returncode == 1, command
        assert "ledger_differs" in quarry(home, "mine").stderr
        result = quarry(home, "chain", "verify", "--url", url.replace("127.0.0.1", "localhost"))  # by HTTP alone
        assert result.returncode == 1 and f"account {address}: stored 5:0" in result.stderr
    with launched(home) as (_, info):
        for command, said in (("mine", "ledger_differs"), ("doctor", "ledger"), ("status", "DIFFERS")):
            result = quarry(home, command)
            assert said in result.stdout + result.stderr, command
        assert f"name={address}" in (home / "dev" / "node1" / "logs" / "api.log").read_text()
        assert quarry(home, "repair").returncode == 0
        assert quarry(home, "chain", "verify").returncode == 0
        assert quarry(home, "mine").returncode == 0
        assert quarry(home, "doctor").returncode == 0


def test_verify_stops_a_node_whose_block_is_damaged(tmp_path: Path) -> None:
    """At once, and not when housekeeping happens to choose that block."""
    home = tmp_path / "home"
    with launched(home) as (_, info):
        assert quarry(home, "mine", "2").returncode == 0
        with Redis.from_url(info["redis_url"]) as redis:
            name = cast(bytes, redis.lindex("quarry:{node1}:heights", 1))
            text = cast(bytes, redis.hget("quarry:{node1}:blocks", cast(str, name)))
            damaged = text.replace(b'"proof": ', b'"proof": 1')
            redis.hset("quarry:{node1}:blocks", cast(str, name), cast(str, damaged))
        result = quarry(home, "chain", "verify")
        assert result.returncode == 1 and "Block 2 breaks the rule" in result.stderr
        assert "neither admits nor mines" in result.stderr and "quarry repair" in result.stderr
        assert "ledger_differs" in quarry(home, "mine").stderr


def test_a_stopped_node_is_found_whatever_its_chain_is(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with launched(home, "--accounts", "2"):
        pass
    stopped = quarry(home, "repair")
    assert (stopped.returncode, stopped.stdout) == (0, "Nothing to repair: every record is what the 1 blocks give.\n")
