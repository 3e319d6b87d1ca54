"""Nodes for tests: one in this process on a store of its own, or one of real processes; and a client for both."""

import hashlib
import http.client
import itertools
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from redis import Redis

from services.jobs.queues import RqJobs
from services.launch.embedded import EmbeddedValkey
from services.mining.templates import TemplateMaker
from services.node import Node, build_node
from services.settings.table import Settings, load
from services.store.mining import Searched
from services.system.programs import module_command, scrubbed
from shared.block import Block
from shared.keys import KeyPair
from shared.transaction import sign
from tests.integration.http_client import Client, Json, SocketDoor
from worker.kernel.plain import PlainKernel

T = TypeVar("T")

CHAIN_ID = 4242
TOKEN = "the-long-admin-token-of-all-these-tests"
MINER = KeyPair(bytes([255]) * 32).address
# With 1,000 coins each. A test on a node that others use too takes keys that no other test takes (`fresh_key`).
KEYS = [KeyPair(bytes([i]) * 32) for i in range(1, 101)]
ALICE, BOB, CAROL, *_OTHERS = KEYS
_fresh = itertools.cycle(_OTHERS)


def fresh_key() -> KeyPair:
    """A key with money that no other test of this process has used."""
    return next(_fresh)


def eventually(true: Callable[[], T], seconds: float = 10.0) -> T:
    """Wait until `true()` is; its value then."""
    deadline = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return value


def write_spec(directory: Path, **changes: Any) -> Path:
    """A chain spec file: development, one proof in `difficulty` (64) fits, 1,000 coins for each of `KEYS`.

    `allocations` are more of them.
    """
    more = changes.pop("allocations", {})
    fields = {
        "name": "test", "development": True, "chain_id": CHAIN_ID, "genesis_timestamp": 1767225600, "difficulty": 64,
    } | changes  # fmt: skip
    lines = [f"{name} = {json.dumps(value)}" for name, value in fields.items()]
    allocations = {key.address: "1000" for key in KEYS} | more
    lines += ["[allocations]", *(f'{address} = "{amount}"' for address, amount in allocations.items())]
    path = directory / "spec.toml"
    path.write_text("\n".join(lines))
    return path


def transfer(key: KeyPair, nonce: int, **changes: Any) -> Json:
    """A signed transfer of one coin to Bob. `changes` are made before it is signed; None takes a field away."""
    fields = {
        "type": "transfer", "chain_id": CHAIN_ID, "nonce": nonce, "sender": key.address, "recipient": BOB.address,
        "amount": "1", "fee": "0.001",
    } | changes  # fmt: skip
    return sign({name: value for name, value in fields.items() if value is not None}, key)


# --- A node in this process -------------------------------------------------------------------------------------------


class RecordedJobs(RqJobs):
    """RQ's queues, and how many jobs went in."""

    enqueued = 0

    def enqueue_search(self, node: str, round_id: str, height: int | None, copies: int) -> None:
        self.enqueued += copies
        super().enqueue_search(node, round_id, height, copies)


def local_node(redis_url: str, directory: Path, spec: Mapping[str, Any] | None = None, **variables: str) -> Node:
    """A node with a name of its own; `variables` are settings without QUARRY_. Its genesis block is written."""
    settings = load(
        {
            "QUARRY_NODE": f"test-{secrets.token_hex(6)}",
            "QUARRY_SPEC": str(write_spec(directory, **(spec or {}))),
            "QUARRY_REDIS_URL": redis_url,
            "QUARRY_REWARD_ADDRESS": MINER,
            "QUARRY_DATA_DIR": str(directory),
        }
        | {f"QUARRY_{name}": value for name, value in variables.items()}
    )
    redis: Any = Redis.from_url(redis_url)  # typed more loosely than the port
    node = build_node(settings, store=redis, queue=RecordedJobs(redis))
    node.chain.initialise()
    return node


def mine(node: Node) -> Block:
    """Do in this process what a worker does: search the open round and seal it. If there is none, ask for a block."""
    if node.rounds.ensure_open() is None:
        node.requests.ask()
    round_id, kernel = node.mining.situation().open_round, PlainKernel()
    while (claim := node.rounds.claim(round_id, "test", 10_000, Searched())) is not None:
        proof = kernel.scan(claim.prefix, claim.difficulty, claim.proofs.start, claim.proofs.stop)
        if proof is not None and (accepted := node.rounds.seal(claim, proof, "test")) is not None:
            return accepted.block
    raise AssertionError("the round ended without a block")


def grow(node: Node, *transactions: Json, recipient: str = MINER) -> Block:
    """Append a block without a round: with `transactions`, or else with what waits. The difficulty must be low."""
    if transactions:
        items = [node.rules.read_request(item) for item in transactions]
        template = node.rules.template(node.chain.window(node.chain.tip()), items, recipient, node.clock.now())
    else:
        template = TemplateMaker(node.chain, node.pool, node.rules, node.clock).make(recipient).template
    proof = PlainKernel().scan(template.seal, template.difficulty, 0, 10**6)
    assert proof is not None
    return node.acceptor.accept(node.rules.read_block(template.with_proof(proof))).block


def redis_of(node: Node) -> "Redis":
    """The connection behind a node's store, for what the port does not offer."""
    redis: Any = node.chain.redis
    assert isinstance(redis, Redis)
    return redis


def forget(node: Node) -> None:
    """Remove all keys of a node in this process and close its connection."""
    with redis_of(node) as redis:
        for key in redis.scan_iter(f"{node.chain.keys.prefix}*", count=1000):
            redis.unlink(key)


def digest(redis: "Redis", node: str) -> str:
    """A digest of everything that a node has stored: every key, counters and events included."""
    keys = sorted(redis.scan_iter(f"quarry:{{{node}}}:*", count=1000))
    whole = hashlib.sha256()
    for key in keys:
        # A large hash is dumped in the order of its table, which may change while its content does not.
        is_hash = redis.type(key) == b"hash"
        content = repr(sorted(redis.hgetall(key).items())).encode() if is_hash else redis.dump(key) or b""
        whole.update(key + b"\0" + content + b"\0")
    return whole.hexdigest()


# --- A node of real processes -----------------------------------------------------------------------------------------

_API = "import os; from services.settings.table import load; from api.server import serve; serve(load(os.environ))"


@dataclass
class RunningNode:
    """A node of real processes on a Valkey of its own. Stopping it proves that nothing is left behind.

    Args:
        directory: holds data, logs and spec.
        variables: settings, without QUARRY_.
    """

    directory: Path
    workers: int = 2  # for mining
    upkeep: bool = True  # a network worker and the ticker, too
    spec: Json = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.valkey = EmbeddedValkey(self.directory / "valkey", durability="unsafe")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.name = f"test-{secrets.token_hex(6)}"
        self._reservation: socket.socket | None = None
        self._sessions: set[int] = set()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start all of it and wait until the API is ready and the workers have reported."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.valkey.start()
        # Bound and never listened on: the kernel gives the port to nobody else, and the server, which like us sets
        # SO_REUSEPORT, may still have it.
        self._reservation = socket.socket()
        self._reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._reservation.bind(("127.0.0.1", 0))
        self.door = SocketDoor(self._reservation.getsockname()[1])
        self.client = Client(self.door)
        token = self.directory / "token"
        token.touch(mode=0o600)
        token.write_text(TOKEN)
        self.environment = {
            "QUARRY_NODE": self.name,
            "QUARRY_SPEC": str(write_spec(self.directory, **self.spec)),
            "QUARRY_REDIS_URL": self.valkey.url,
            "QUARRY_PORT": str(self.door.port),
            "QUARRY_REWARD_ADDRESS": MINER,
            "QUARRY_DATA_DIR": str(self.directory),
            "QUARRY_ADMIN_TOKEN_FILE": str(token),
            "QUARRY_KERNEL": "plain",
            "QUARRY_LOG_FORMAT": "json",
        } | {f"QUARRY_{name}": value for name, value in self.variables.items()}
        self._launch("api", [sys.executable, "-P", "-c", _API])
        for number in range(self.workers):
            self._launch(f"mining{number}", module_command("worker", "worker", "--queue", "mining"))
        if self.upkeep:
            self._launch("network", module_command("worker", "worker", "--queue", "network"))
            self._launch("ticker", module_command("worker", "ticker"))
        eventually(self._is_ready, 30)

    def _launch(self, name: str, command: list[str]) -> None:
        with (self.directory / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=self.directory,
                env=scrubbed(os.environ) | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes[name] = process
        self._sessions.add(process.pid)

    def _is_ready(self) -> bool:
        for name, process in self.processes.items():
            log = self.directory / f"{name}.log"
            assert process.poll() is None, f"{name} ended with {process.returncode}: {log.read_text()[-2000:]}"
        with suppress(OSError, http.client.HTTPException):
            if self.client.get("/readyz").status == 200:
                expected = {"mining": self.workers, "network": int(self.upkeep)}
                return bool(self.client.get("/status").ok()["workers"] == expected)
        return False

    @contextmanager
    def redis(self) -> Iterator["Redis"]:
        """The node's store."""
        with Redis.from_url(self.valkey.url) as redis:
            yield redis

    @property
    def settings(self) -> Settings:
        return load(self.environment)

    def digest(self) -> str:
        with self.redis() as redis:
            return digest(redis, self.name)

    def log(self, name: str) -> str:
        return (self.directory / f"{name}.log").read_text(errors="replace")

    def pids(self, name: str) -> list[int]:
        """The live processes of one program, with its children."""
        return _members({self.processes[name].pid})

    def stop(self) -> None:
        """End all processes, workers first; fail if one outlives its program."""
        for process in self.processes.values():
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGCONT)
                process.terminate()
        late = []
        for name, process in self.processes.items():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                late.append(name)
        # A forked search ends at its next look at its parent; what is left after that is left behind.
        deadline = time.monotonic() + 3
        while (left := _members(self._sessions)) and time.monotonic() < deadline:
            time.sleep(0.02)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for name in late:
            self.processes[name].wait()
        self.processes.clear()
        if self.valkey.pid is not None:
            os.kill(self.valkey.pid, signal.SIGCONT)
        self.valkey.stop()
        if self._reservation is not None:
            self._reservation.close()
        assert not late, f"these did not end when told to: {late}"
        assert not left, f"processes were left behind: {left}"


def _members(sessions: set[int]) -> list[int]:
    """Pids of the live processes of these sessions. Needs /proc; elsewhere nothing is found."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            state, _, _, session = (entry / "stat").read_text().rpartition(") ")[2].split()[:4]
            if int(session) in sessions and state != "Z":
                found.append(int(entry.name))
    return found


def rss(pids: list[int]) -> int:
    """Resident bytes of some processes together. Needs /proc."""
    page = os.sysconf("SC_PAGE_SIZE")
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page for pid in pids)
