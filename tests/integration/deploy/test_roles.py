"""The access rules of deploy/users.acl on real Valkeys: each role works under its user and gets no further."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError

from deploy.make_cluster import make_cluster
from services.connections.servers import as_store, connect_for_jobs, connect_for_requests
from services.launch.embedded import find_server
from services.store.keys import Keys
from services.store.scripts import source
from services.system.programs import ROOT
from tests.support.http import Json
from tests.support.keys import ALICE, TOKEN
from tests.support.nodes import transfer
from tests.support.running import RunningNode
from tests.support.servers import free_ports
from tests.support.waiting import eventually

PASSWORDS = {"quarry": "password", "miner": "miner-password", "operator": "operator-password"}
NODE = Keys("a-node")
# What a mining worker calls: SearchStore, and its name.
SCRIPTS = ("claim", "hand_in", "worker_name")
# What it must not be able to run to the end: whatever makes blocks, rounds and templates.
OTHERS = ("append", "open_round", "admit", "drop", "swap", "credit", "plan_payout", "request")


@dataclass
class Servers:
    """A store and a broker with the rules, and a superuser of the tests."""

    directory: Path
    ports: list[int]

    def url(self, user: str, port: int) -> str:
        return f"redis://{user}:{(self.directory / PASSWORDS[user]).read_text().strip()}@127.0.0.1:{port}/0"

    def begin(self) -> None:
        """Forget what was refused so far."""
        for port in self.ports:
            with Redis(port=port, username="tests", password="t" * 16) as redis:
                redis.acl_log_reset()

    def denied(self, user: str) -> list[Any]:
        """What was refused to a user since `begin`."""
        found = []
        for port in self.ports:
            with Redis(port=port, username="tests", password="t" * 16) as redis:
                entries: Any = redis.acl_log(count=10_000)
                found += [
                    (item["reason"], item["object"], item["context"]) for item in entries if item["username"] == user
                ]
        return found


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    directory = tmp_path_factory.mktemp("roles")
    make_cluster(ROOT / "deploy/users.acl", directory, {})
    with (directory / "users.acl").open("a") as rules:
        rules.write(f"user tests on >{'t' * 16} ~* &* +@all\n")
    found = Servers(directory, list(free_ports(2)))
    with ExitStack() as stack:
        for port in found.ports:
            home = directory / str(port)
            home.mkdir()
            command = [str(find_server()), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(home), "--save", ""]
            command += ["--aclfile", str(directory / "users.acl"), "--acllog-max-len", "10000"]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            stack.callback(process.wait, 10)
            stack.callback(process.kill)
            url = found.url("quarry", port)
            eventually(lambda url=url: _answers(url), 20, "a Valkey")  # type: ignore[misc]
        yield found


def _answers(url: str) -> bool:
    with connect_for_requests(url) as redis:
        try:
            return bool(redis.ping())
        except Exception:
            return False


@pytest.fixture
def miner(servers: Servers) -> Iterator[Redis]:
    """A miner at the store."""
    with connect_for_requests(servers.url("miner", servers.ports[0])) as redis:
        yield redis


class Node(RunningNode):
    """A node whose mining workers have the broker's URL only, with the miners' login."""

    miners_url = ""

    def _launch(self, name: str, command: list[str]) -> None:
        before = self.environment
        if name.startswith("mining"):
            self.environment = before | {"QUARRY_BROKER_URL": self.miners_url}
            del self.environment["QUARRY_REDIS_URL"]
        super()._launch(name, command)
        self.environment = before


def test_a_node_mines_with_a_user_for_each_role(servers: Servers, tmp_path: Path) -> None:
    store, broker = servers.ports
    servers.begin()
    Node.miners_url = servers.url("miner", broker)
    variables = {
        "REDIS_URL": servers.url("quarry", store),
        "BROKER_URL": servers.url("quarry", broker),
        "AUTOMINE": "true",
    }
    with Node(tmp_path / "node", workers=2, variables=variables) as node:
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        client = node.client
        for _ in range(2):
            client.post("/mine").ok()
        with connect_for_requests(servers.url("miner", broker)) as redis:
            [card] = as_store(redis).hgetall("quarry:nodes").values()
        for file in PASSWORDS.values():
            assert (servers.directory / file).read_text().strip().encode() not in card
        sent: list[Json] = [client.post("/transactions/new", transfer(ALICE, nonce)).ok(201) for nonce in range(3)]
        eventually(
            lambda: all(client.get(f"/transactions/{one['id']}").ok()["status"] == "confirmed" for one in sent),
            30,
            "blocks",
        )
        client.post("/mining/limit", {"hash_rate_limit": "200k"}, **bearer).ok()
        client.post("/mine").ok()
        client.post("/mining/limit", {"hash_rate_limit": None}, **bearer)
        client.post("/mine").ok()
    logs = {log.name: log.read_text() for log in (tmp_path / "node").glob("*.log")}
    assert not any("NoPermission" in text or "job_failed" in text for text in logs.values()), logs
    assert servers.denied("miner") == [] and servers.denied("quarry") == []


# Local names in scripts that are keys: (script, name) -> what follows the node's prefix.
_LOCAL = {
    ("share", "key"): ["hash-rate"], "round": ["round:x"], "search": ["round-search:x"], "inbox": ["inbox"],
    "workers": ["round-workers:x"],
    ("worker_name", "names"): ["quarry:workers"], ("worker_name", "record"): ["rq:worker:x"],
}  # fmt: skip
_CALL = re.compile(r"redis\.call\(\s*('?)(\w+)'?, (?:P \.\. '([^']+)'( \.\.)?|(\w+))")
_INCLUDE = re.compile(r"^-- include: (\w+)$", re.MULTILINE)


def _calls(script: str) -> Iterator[tuple[str, str]]:
    """Each command of a script and of what it includes, with each key that it may have."""
    text = (ROOT / f"services/store/lua/{script}.lua").read_text("utf-8")
    code = re.sub(r"\s+", " ", re.sub(r"--.*", "", text)).replace("redis.call('TIME')", "")
    found = list(_CALL.finditer(code))
    assert len(found) == code.count("redis.call("), f"{script}: a call that this test cannot read"
    for call in found:
        quoted, name, key, more, local = call.groups()
        if local:
            keys = _LOCAL.get((script, local)) or _LOCAL.get(local)
            assert keys, f"{script}: {call[0]}: which key is that?"
        else:
            keys = [key + ("x" if more else "")]
        for one in keys:
            whole = one if one.startswith(("rq:", "quarry:")) else NODE.prefix + one
            yield name if quoted else "HSET", whole
    for included in _INCLUDE.findall(text):
        yield from _calls(included)


@pytest.mark.parametrize("script", SCRIPTS)
def test_no_script_of_a_miner_ends_in_the_middle(servers: Servers, script: str) -> None:
    """A command that the rules refuse ends a script after its first writes, which would leave half a report."""
    commands = set(_calls(script))
    assert commands and source(script).count("redis.call(") >= len(commands) / 3
    with Redis(port=servers.ports[0], username="tests", password="t" * 16) as redis:
        for name, key in sorted(commands):
            said: Any = redis.execute_command("ACL", "DRYRUN", "miner", name, key, *_ARGUMENTS.get(name, []))
            assert said in (b"OK", "OK", True), f"{script}: {name} {key}: {said}"


# What a command needs besides its key.
_ARGUMENTS = {
    "LPOS": ["x"], "HSET": ["f", "v"], "XADD": ["*", "f", "v"], "HINCRBY": ["f", "1"], "ZADD": ["1", "m"],
    "HGET": ["f"], "HMGET": ["f"], "HDEL": ["f"], "HEXISTS": ["f"], "SET": ["v"], "EXPIRE": ["1"], "LINDEX": ["0"],
    "LRANGE": ["0", "1"], "RPUSH": ["v"], "ZREM": ["m"], "ZCOUNT": ["0", "1"], "ZRANGEBYSCORE": ["0", "1"],
    "ZREMRANGEBYSCORE": ["0", "1"], "ZREVRANGE": ["0", "1"], "ZREVRANGEBYSCORE": ["1", "0"],
    "GETRANGE": ["0", "1"], "LPUSH": ["v"], "LSET": ["0", "v"], "COPY": ["quarry:{a-node}:payout-shares:x"],
}  # fmt: skip


# In scripts of others, what the rules refuse of their writes.
@pytest.mark.parametrize("script", OTHERS)
def test_a_miner_runs_no_script_of_the_node(servers: Servers, miner: Redis, script: str) -> None:
    with pytest.raises(ResponseError, match="permission"):
        miner.eval(source(script), 1, NODE.prefix, *["1"] * 40)


FORBIDDEN = f"""
FLUSHALL, FLUSHDB, CONFIG GET *, CONFIG SET appendonly no, ACL LIST, ACL SETUSER miner +@all, SHUTDOWN, KEYS *, SCAN 0,
RANDOMKEY, DBSIZE, MONITOR, SAVE, BGREWRITEAOF, REPLICAOF 127.0.0.1 1, CLIENT LIST, CLIENT KILL TYPE normal,
MODULE LIST, FUNCTION FLUSH, SCRIPT FLUSH, SCRIPT KILL, SLOWLOG GET, SWAPDB 0 1, MIGRATE 127.0.0.1 1 k 0 1,
SET other 1, GET other,
DEL {NODE.blocks}, UNLINK {NODE.blocks}, HDEL {NODE.blocks} f, EXPIRE {NODE.blocks} 1,
RENAME {NODE.blocks} {NODE.requests},
COPY {NODE.blocks} rq:copy, DEL {NODE.heights}, RPOP {NODE.heights}, LTRIM {NODE.heights} 0 0, LSET {NODE.heights} 0 x,
HSET {NODE.tip} hash x, HSET {NODE.accounts} f v, HDEL {NODE.accounts} f, HGET {NODE.accounts} f,
HSET {NODE.allowances} f v, HSET {NODE.blocks} f v, HGET {NODE.blocks} f, HSET {NODE.headers} f v,
HSET {NODE.undo} f v, HSET {NODE.ids} f v, HSET {NODE.transactions} f v, RPUSH {NODE.heights} x,
XADD {NODE.events} * f v, XADD {NODE.search_news} * f v, XREVRANGE {NODE.events} + -,
HSET {NODE.entries} f v, HGETALL {NODE.entries}, HSET {NODE.pool} f v,
ZADD {NODE.prefix}pool:queue:x 1 m, SET {NODE.prefix}record:x v, GET {NODE.prefix}record:x,
SET {NODE.open_round} x, SET {NODE.aside} x, HSET {NODE.round("x")} state sealed, HSET {NODE.round("x")} prefix v,
HSET {NODE.round_templates("x")} 1 v, DEL {NODE.round_templates("x")}, SET {NODE.round_of("x")} y,
RPUSH {NODE.requests} x, LPOP {NODE.requests}, HSET {NODE.request("x")} status finished, RPUSH {NODE.answer("x")} 1,
LPOP {NODE.inbox}, DEL {NODE.inbox}, LPUSH {NODE.inbox} x, LREM {NODE.inbox} 0 x, LRANGE {NODE.inbox_taken} 0 1,
RPUSH {NODE.inbox_taken} x, SET {NODE.desk} 1, SET {NODE.resting} 1, DEL {NODE.round_search("x")},
HSET {NODE.payouts} f v, RPUSH {NODE.share_log} x, HSET {NODE.share_window} f v, HGETALL {NODE.share_window},
HSET {NODE.payout_shares("x")} f v, ZADD {NODE.payouts_due} 1 m, HSET {NODE.payout("x")} f v, DEL {NODE.counters},
HSET {NODE.counters} f 1, DEL {NODE.hash_rate}, DEL {NODE.searchers},
DEL {NODE.accounts}, DEL {NODE.tip}, DEL {NODE.undo}, HDEL {NODE.headers} f, DEL {NODE.events}, DEL {NODE.journal},
HSET {NODE.fault} f v, HSET {NODE.peers} f v, HDEL {NODE.peers} f, HSET {NODE.modes} f v, SET {NODE.rules} 1,
HGETALL {NODE.names}, HSET {NODE.names} f v, HGETALL {NODE.snapshot_totals}, ZRANGE {NODE.filters} 0 1,
HGETALL {NODE.prefix}tokens, HSET {NODE.prefix}tokens f v, XREVRANGE {NODE.prefix}acts + -,
HGETALL {NODE.prefix}vouchers, HGETALL {NODE.prefix}voucher:x, HSET {NODE.prefix}lease:x f v,
HSET quarry:nodes f v, HDEL quarry:nodes f,
DEL quarry:nodes, PUBLISH quarry:x v
"""


@pytest.mark.parametrize("command", [item.strip() for item in FORBIDDEN.split(",")])
def test_a_miner_gets_no_further(servers: Servers, miner: Redis, command: str) -> None:
    with pytest.raises(NoPermissionError):
        miner.execute_command(*command.split())  # type: ignore[no-untyped-call]
    words = ", ".join(f"'{word}'" for word in command.split())
    with pytest.raises(ResponseError):  # nor inside a script
        miner.eval(f"return redis.call({words})", 0)


def test_an_operator_reads_and_changes_nothing(servers: Servers) -> None:
    store = servers.ports[0]
    with (
        connect_for_jobs(servers.url("quarry", store)) as node,
        connect_for_requests(servers.url("operator", store)) as one,
    ):
        node.hset(NODE.tip, "height", "1")
        assert one.hget(NODE.tip, "height") == b"1" and one.info("server") and one.slowlog_get() is not None
        for command in (
            ["HSET", NODE.tip, "height", "2"], ["DEL", NODE.tip], ["EVAL", "return 1", "0"], ["FLUSHALL"], ["SHUTDOWN"],
            ["CONFIG", "SET", "maxmemory", "1"], ["ACL", "LIST"], ["PUBLISH", "rq:pubsub", "x"], ["KEYS", "*"],
            ["CLIENT", "KILL", "TYPE", "normal"], ["SORT", NODE.heights, "STORE", NODE.tip],
        ):  # fmt: skip
            with pytest.raises(NoPermissionError):
                one.execute_command(*command)
        node.delete(NODE.tip)
