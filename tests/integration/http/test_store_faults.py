"""The store does not answer, or refuses: the API says so soon, acknowledges nothing, and recovers by itself."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import RedisError

from tests.support.http import Answer
from tests.support.keys import ALICE, BOB
from tests.support.nodes import transfer
from tests.support.running import RunningNode, StartNode
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import eventually

# The socket timeout is two seconds; the third is for slow machines.
SOON = 3.0


@pytest.fixture
def node(start_node: StartNode) -> RunningNode:
    """An API and its store, without workers."""
    return start_node(workers=0, upkeep=False)


def refused_soon(node: RunningNode, method: str, path: str, value: object = None) -> None:
    watch = Stopwatch(node.processes["api"].pid)
    answer = node.client.post(path, value) if method == "POST" else node.client.get(path)
    answer.refused(503, "store_unavailable")
    assert watch.seconds() < SOON
    assert answer.headers["retry-after"] == "1"


def test_a_store_that_hangs_is_noticed_within_its_timeout(node: RunningNode) -> None:
    pid = node.valkey.pid
    assert pid is not None
    waiting = node.client.submit(transfer(BOB, 0))
    os.kill(pid, signal.SIGSTOP)
    try:
        assert node.client.get("/healthz").ok() == {"status": "ok"}
        refused_soon(node, "GET", "/readyz")
        refused_soon(node, "POST", "/transactions/new", transfer(ALICE, 0))
        refused_soon(node, "POST", "/mine?wait=0")
    finally:
        os.kill(pid, signal.SIGCONT)
    eventually(lambda: node.client.get("/readyz").status == 200)
    # Refused is not undone: the store may have got the request. Repeating it is harmless.
    node.client.submit(transfer(ALICE, 0))
    assert node.client.get("/mempool").ok()["size"] == 2
    assert node.client.get(f"/transactions/{waiting}").ok()["status"] == "pending"


def test_a_store_that_dies_and_comes_back_needs_no_restart_of_the_api(node: RunningNode) -> None:
    processes = node.pids("api")
    acknowledged = node.client.submit(transfer(ALICE, 0))
    assert node.valkey.pid is not None
    os.kill(node.valkey.pid, signal.SIGKILL)
    eventually(lambda: not node.valkey.alive)
    refused_soon(node, "GET", "/status")
    refused_soon(node, "POST", "/transactions/new", transfer(BOB, 0))
    node.valkey.start()
    eventually(lambda: node.client.get("/readyz").status == 200)
    assert node.client.get(f"/transactions/{acknowledged}").ok()["status"] == "pending"
    node.client.submit(transfer(BOB, 0))
    assert node.pids("api") == processes


def test_the_log_says_why_the_store_gave_no_answer(node: RunningNode) -> None:
    pid = node.valkey.pid
    assert pid is not None

    def ask() -> list[dict[str, Any]]:
        """Ask in three ways; the entries of the log that say why there was no answer."""
        before = len(node.log("api"))
        node.client.get("/status").refused(503, "store_unavailable")
        node.client.post("/rpc", {"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []})
        assert node.client.get("/", Accept="text/html").status == 503
        lines = node.log("api")[before:].splitlines()
        return [json.loads(line) for line in lines if "store_unavailable" in line]

    os.kill(pid, signal.SIGSTOP)
    try:
        slow = ask()
    finally:
        os.kill(pid, signal.SIGCONT)
    eventually(lambda: node.client.get("/readyz").status == 200)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not node.valkey.alive)
    gone = ask()
    assert [line["reason"] for line in slow] == ["the server does not answer in time"] * 3
    assert all(line["waited"] >= 1.9 for line in slow), slow
    assert len(gone) == 3 and all(line["reason"].startswith("the server cannot be reached") for line in gone), gone
    assert all(line["waited"] < 1.9 for line in gone), gone


def test_workers_mine_on_once_the_store_is_back(running_node: RunningNode) -> None:
    client = running_node.client
    before = client.post("/mine").ok()["index"]
    assert running_node.valkey.pid is not None
    os.kill(running_node.valkey.pid, signal.SIGKILL)
    eventually(lambda: not running_node.valkey.alive)
    client.post("/mine").refused(503, "store_unavailable")
    running_node.valkey.start()

    def mined() -> Answer | None:
        answer = client.post("/mine?wait=20")
        return answer if answer.status == 200 else None

    block = eventually(mined, 25)
    assert block is not None and block.ok()["index"] > before


# Ways in which a server refuses writes: what it answers, and how it is brought to that.


@contextmanager
def out_of_memory(redis: "Redis", directory: Path) -> Iterator[None]:
    redis.config_set("maxmemory", 1)
    try:
        yield
    finally:
        redis.config_set("maxmemory", 0)


@contextmanager
def disk_trouble(redis: "Redis", directory: Path) -> Iterator[None]:
    """The last snapshot failed, as on a full disk: its file's name is taken by a directory."""
    (directory / "dump.rdb").mkdir()
    (directory / "dump.rdb" / "x").touch()
    redis.config_set("save", "3600 1")
    redis.bgsave()
    eventually(lambda: redis.info("persistence")["rdb_last_bgsave_status"] == "err")
    try:
        yield
    finally:
        redis.config_set("save", "")


@contextmanager
def too_few_replicas(redis: "Redis", directory: Path) -> Iterator[None]:
    redis.config_set("min-replicas-to-write", 1)
    try:
        yield
    finally:
        redis.config_set("min-replicas-to-write", 0)


@contextmanager
def read_only(redis: "Redis", directory: Path) -> Iterator[None]:
    redis.replicaof("127.0.0.1", "1")
    try:
        yield
    finally:
        redis.replicaof("NO", "ONE")


@pytest.mark.parametrize(
    ("trouble", "answer"),
    [
        (out_of_memory, "command not allowed when used memory"),
        (disk_trouble, "MISCONF"),
        (too_few_replicas, "NOREPLICAS|Not enough good replicas"),
        (read_only, "read only replica"),
    ],
    ids=["OOM", "MISCONF", "NOREPLICAS", "READONLY"],
)
def test_a_store_that_refuses_writes_acknowledges_nothing(node: RunningNode, trouble: object, answer: str) -> None:
    assert callable(trouble)
    client = node.client
    with node.redis() as redis:
        before = node.digest()
        with trouble(redis, node.valkey.directory):
            with pytest.raises(RedisError, match=answer):  # the fault has happened
                redis.set("probe", 1)
            refused_soon(node, "POST", "/transactions/new", transfer(ALICE, 0))
            refused_soon(node, "POST", "/transactions/batch", [transfer(ALICE, 0), transfer(BOB, 0)])
            refused_soon(node, "POST", "/mine?wait=0")
            assert node.digest() == before
            assert client.get("/chain").ok()["length"] == 1  # reading goes on
        client.submit(transfer(ALICE, 0))
        client.post("/mine?wait=0").ok(202)
