"""Nodes on a real Valkey for tests of the store, the mempool, rounds and workers; and a replay to compare them with."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from redis import Redis

from services.chain.accept import Accepted
from services.connections import as_store, connect_for_requests
from services.launch.embedded import EmbeddedValkey
from services.mempool.admission import Admitted, Mempool
from services.node import Node, build_node
from services.ports import QueueReport, QueueTrouble
from services.settings.table import Settings, load
from services.store.mining import MiningStore
from services.store.records import decode_account
from services.store.rounds import MiningRequest, Round
from services.system.programs import module_command, scrubbed
from shared.amounts import format_amount
from shared.block import Block, Template
from shared.chain_spec import ChainSpec, spec_from_object
from shared.errors import NodeError
from shared.keys import KeyPair
from shared.ledger import Account, Entries
from shared.replay import Replay
from shared.rules import rules_for
from shared.transaction import Transaction, read_transaction, sign

START = 1_750_000_000  # long past, so that real clocks can mine on it too
KEYS = tuple(KeyPair(bytes([0, number]) * 16) for number in range(1, 65))
ALICE, BOB, CAROL, DAVE = KEYS[:4]
MINER = KeyPair(b"\xee" * 32).address
COIN = 10**18


def make_spec(**changes: Any) -> ChainSpec:
    """A spec under which any proof is valid, with 1,000 coins for each of KEYS."""
    fields = {"name": "test", "development": True, "chain_id": 4243, "genesis_timestamp": START - 1000, "difficulty": 1}
    fields["allocations"] = {key.address: "1000" for key in KEYS}
    return spec_from_object({**fields, **changes})


def make_settings(spec: ChainSpec | None = None, **changes: Any) -> Settings:
    """The default settings of a node that mines `spec`, free transactions allowed."""
    fields = {"spec": spec or make_spec(), "min_fee": 0, "nonces_ahead": 64, "reward_address": MINER, **changes}
    return dataclasses.replace(load({}), **fields)


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: float = START) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


class RecordingQueue:
    """A queue that keeps what was enqueued."""

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        self.searches: list[tuple[str, int]] = []  # round, copies
        self.jobs: dict[str, str] = {}  # id -> function

    def enqueue_search(self, node: str, round_id: str, height: int | None, copies: int) -> None:
        self.searches.append((round_id, copies))

    def enqueue_network(self, function: str, node: str, job_id: str, *args: str) -> bool:
        new = job_id not in self.jobs
        self.jobs.setdefault(job_id, function)
        return new

    def mining_workers(self) -> int:
        return self.workers

    def network_workers(self) -> int:
        return 1

    def trouble(self) -> QueueTrouble:
        return QueueTrouble(False, 0)

    def report(self) -> QueueReport:
        return QueueReport((), {})


def make_server(directory: Path) -> EmbeddedValkey:
    """A real server: ours, or the program that TEST_REDIS_SERVER names.

    Not durable: no test that shares one pulls the plug, and an fsync per command would be most of their time.
    """
    given = os.environ.get("TEST_REDIS_SERVER")
    return EmbeddedValkey(directory, durability="unsafe", executable=Path(given) if given else None)


def connect(server: EmbeddedValkey) -> Redis:
    """An empty database, connected as the API connects."""
    redis = connect_for_requests(server.url)
    redis.flushall()
    return redis


class TestNode:
    """One node, with hands: it signs, admits and mines."""

    __test__ = False  # not a class of tests, whatever its name

    def __init__(self, redis: Redis, settings: Settings | None = None, *, clock: FakeClock | None = None) -> None:
        self.redis = redis
        self.clock = clock or FakeClock()
        self.queue = RecordingQueue()
        self.settings = settings or make_settings()
        self.node = self.build(redis)
        self.node.chain.initialise()

    def build(self, redis: Redis) -> Node:
        """Another node object on the same keys, for another thread or connection."""
        return build_node(self.settings, store=as_store(redis), queue=self.queue, clock=self.clock)

    @property
    def spec(self) -> ChainSpec:
        return self.settings.spec

    # --- transactions ---

    def sign(self, key: KeyPair, nonce: int, **fields: Any) -> Transaction:
        """A transfer of 1 coin to Bob, unless `fields` say otherwise. `fee` and `amount` may be base units."""
        for name in ("amount", "fee"):
            if isinstance(fields.get(name), int):
                fields[name] = format_amount(fields[name])
        unsigned = {
            "type": "transfer",
            "chain_id": self.spec.chain_id,
            "nonce": nonce,
            "sender": key.address,
            "recipient": BOB.address,
            "amount": "1",
            "fee": "0",
        }
        return read_transaction(sign({**unsigned, **fields}, key))

    def admit(self, key: KeyPair, nonce: int, **fields: Any) -> Transaction:
        """Sign a transaction and admit it."""
        transaction = self.sign(key, nonce, **fields)
        admit_one(self.node.mempool, transaction)
        return transaction

    # --- blocks ---

    def template(self, transactions: Sequence[Transaction], recipient: str = MINER) -> Template:
        tip = self.node.chain.tip()
        return self.node.rules.template(self.node.chain.window(tip), transactions, recipient, self.clock.now())

    def block(self, *transactions: Transaction, recipient: str = MINER) -> Block:
        """A valid next block."""
        return self.sealed(self.template(transactions, recipient))

    def sealed(self, template: Template) -> Block:
        """The block that a template becomes with its smallest proof."""
        proof = 0
        while not template.accepts(proof):
            proof += 1
        return self.node.rules.read_block(template.with_proof(proof))

    def mine(self, *transactions: Transaction, recipient: str = MINER) -> Block:
        """Append a block of another node's with these transactions."""
        return self.node.acceptor.accept(self.block(*transactions, recipient=recipient)).block

    def mine_pool(self) -> Accepted:
        """Append the block that the mempool's template makes."""
        made = self.node.rounds._templates.make(MINER)
        self.node.mempool.drop_invalid(made.refused)
        return self.node.acceptor.accept(self.sealed(made.template))


def replayed(blocks: Sequence[bytes], spec: ChainSpec) -> tuple[Replay, list[tuple[Any, Any, int]]]:
    """A replay of canonical blocks, and the ledger after each: accounts, allowances, supply."""
    replay = Replay(rules_for(spec))
    ledgers = []
    for text in blocks:
        replay.add(json.loads(text))
        ledgers.append((dict(replay.accounts), dict(replay.allowances), replay.supply))
    return replay, ledgers


def assert_store_equals_replay(node: Node, redis: Redis) -> Replay:
    """Every key of the chain says what a replay of its blocks computes; the replay."""
    keys, rules = node.chain.keys, node.rules
    tip = node.chain.tip()
    streamed = list(node.chain.stream(1, tip.height))
    replay, ledgers = replayed(streamed, node.settings.spec)
    blocks = [rules.genesis(), *(rules.read_block(json.loads(text)) for text in streamed[1:])]
    hashes = [block.hash for block in blocks]

    assert texts(redis.lrange(keys.heights, 0, -1)) == hashes
    assert (tip.height, tip.hash, tip.chainwork, tip.supply, tip.timestamp) == (
        len(blocks), hashes[-1], replay.chainwork, replay.supply, blocks[-1].header.timestamp,
    )  # fmt: skip
    accounts = {name.decode(): decode_account(value) for name, value in _hash(redis, keys.accounts).items()}
    assert accounts == replay.accounts
    allowances = {name.decode(): int(value) for name, value in _hash(redis, keys.allowances).items()}
    assert allowances == {f"{owner}:{spender}": amount for (owner, spender), amount in replay.allowances.items()}
    minted = node.settings.spec.reward * (len(blocks) - 1)
    assert replay.supply == sum(node.settings.spec.allocations.values()) + minted
    assert sum(account.balance for account in accounts.values()) == replay.supply

    assert set(texts(redis.hkeys(keys.blocks))) >= set(hashes)
    work = 0
    for block in blocks:
        work += rules.work(block.header)
        stored = node.chain.header(block.hash)
        assert stored is not None
        assert (stored.header, stored.chainwork, stored.size, stored.transactions) == (
            block.header, work, block.size, len(block.transactions),
        )  # fmt: skip
        assert node.chain.transaction_ids(block.hash) == [transaction.id for transaction in block.transactions]

    index, history = _expected_indexes(blocks)
    assert _hash(redis, keys.transactions) == index
    prefix = keys.history("")
    stored_history = {
        name.removeprefix(prefix): texts(redis.lrange(name, 0, -1))
        for name in texts(redis.scan_iter(match=prefix + "*", count=1000))
    }
    assert stored_history == history

    for height in range(len(blocks), 1, -1):
        assert _undone(ledgers[height - 1], node.chain.undo(hashes[height - 1])) == ledgers[height - 2]
    return replay


def _expected_indexes(blocks: Sequence[Block]) -> tuple[dict[bytes, bytes], dict[str, list[str]]]:
    index: dict[bytes, bytes] = {}
    history: dict[str, list[str]] = {}
    for block in blocks:
        for position, item in enumerate(block.transactions):
            place = f"{block.index}:{position}"
            index[bytes.fromhex(item.id)] = place.encode()
            names = {item.fields.get(name) for name in ("sender", "recipient", "owner")} - {None, "0"}
            for name in names:
                history.setdefault(str(name), []).append(place)
    return index, history


def _undone(ledger: tuple[Any, Any, int], undo: Entries) -> tuple[Any, Any, int]:
    accounts: dict[str, Account] = {**ledger[0], **undo.accounts}
    allowances: dict[tuple[str, str], int] = {**ledger[1], **undo.allowances}
    return (
        {address: account for address, account in accounts.items() if account != Account()},
        {key: amount for key, amount in allowances.items() if amount},
        undo.supply,
    )


def admit_one(mempool: Mempool, transaction: Transaction) -> Admitted:
    """Admit a transaction, and nothing that follows from it. Raises: as it is refused."""
    [outcome] = mempool.admit_many([transaction])
    if isinstance(outcome, NodeError):
        raise outcome
    return outcome


def round_of(mining: MiningStore, round_id: str | None) -> Round:
    """A round that must be there."""
    found = mining.round(round_id or "none")
    assert found is not None, f"there is no round {round_id}"
    return found


def request_of(mining: MiningStore, request_id: str) -> MiningRequest:
    """A mining request that must be there."""
    found = mining.request(request_id)
    assert found is not None, f"there is no request {request_id}"
    return found


def texts(values: Any) -> list[str]:
    """A reply's byte strings as text."""
    return [value.decode() for value in values]


def dump(redis: Redis) -> dict[bytes, bytes]:
    """Every key and its serialised value: equal dumps are equal databases."""
    return {name: cast(bytes, redis.dump(name)) for name in redis.scan_iter(count=1000)}


def _hash(redis: Redis, name: str) -> dict[bytes, bytes]:
    return cast(dict[bytes, bytes], redis.hgetall(name))


# --- processes ---


def eventually(true: Callable[[], object], seconds: float = 20.0, what: str = "it") -> float:
    """Wait until `true()` is; how many seconds that took."""
    started = time.monotonic()
    while not true():
        assert time.monotonic() - started < seconds, f"{what} did not happen within {seconds:g} s"
        time.sleep(0.02)
    return time.monotonic() - started


def write_spec(path: Path, spec: ChainSpec) -> Path:
    """The spec as a TOML file. Its strings and numbers are written in TOML as in JSON."""
    tables = {name: value for name, value in spec.to_object().items() if isinstance(value, dict)}
    lines = [f"{name} = {json.dumps(value)}" for name, value in spec.to_object().items() if name not in tables]
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{json.dumps(key)} = {json.dumps(value)}" for key, value in table.items())]
    path.write_text("\n".join(lines))
    return path


class Crew:
    """A node's processes on one Valkey. All are killed at the end, each with a log in `directory`."""

    def __init__(self, directory: Path, url: str, spec: ChainSpec, **settings: str) -> None:
        self.directory = directory
        self.environment = {
            **scrubbed(os.environ),
            "QUARRY_REDIS_URL": url,
            "QUARRY_SPEC": str(write_spec(directory / "spec.toml", spec)),
            "QUARRY_REWARD_ADDRESS": MINER,
            "QUARRY_KERNEL": "plain",
            "QUARRY_LINGER": "0",
            **{f"QUARRY_{name.upper()}": value for name, value in settings.items()},
        }
        self.started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process in self.started:
            process.kill()
            process.wait(10)
        for pid in self.left():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if error is not None:
            for log in sorted(self.directory.glob("*.log")):
                print(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}")

    def left(self) -> list[int]:
        """Pids of all processes that stem from ours: each program has a session of its own."""
        sessions = {process.pid for process in self.started}
        return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _session(int(entry.name)) in sessions]

    def run(self, name: str, command: list[str], **environment: str) -> subprocess.Popen[bytes]:
        """Start a program; its standard error goes to NAME.log."""
        with open(self.directory / f"{name}.log", "ab") as log:
            process = subprocess.Popen(
                command,
                env={**self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def worker(self, queue: str = "mining", name: str = "") -> subprocess.Popen[bytes]:
        return self.run(name or queue, module_command("worker", "worker", "--queue", queue))

    def ticker(self) -> subprocess.Popen[bytes]:
        return self.run("ticker", module_command("worker", "ticker"))

    def script(self, name: str, text: str, **environment: str) -> subprocess.Popen[bytes]:
        """A worker that a test has changed: `text` is Python."""
        return self.run(name, [sys.executable, "-c", text], **environment)


def children(pid: int) -> list[int]:
    """Pids of a process's children."""
    with suppress(FileNotFoundError, ProcessLookupError):
        tasks = Path(f"/proc/{pid}/task").iterdir()
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    return []


def alive(pid: int) -> bool:
    """Whether a process runs: zombies do not."""
    return state(pid) not in ("", "Z")


def state(pid: int) -> str:
    """One letter: R, S, T for stopped, Z for a zombie; empty for none."""
    return _stat(pid)[0]


def _session(pid: int) -> int:
    return int(_stat(pid)[3])


def _stat(pid: int) -> list[str]:
    """state, parent, group, session, …"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["", "0", "0", "0"]
