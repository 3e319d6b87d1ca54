"""Nodes in the test's own process, on a real Valkey. Nodes of real processes are in running.py and crew.py.

`TestNode` is for tests of the store, the mempool, rounds and peers: time stands still, no job runs, and the test mines.
`local_node` is for tests of the HTTP API, JSON-RPC and the pages: its settings come from variables as those of a
started node do, its clock is the machine's, its jobs go to RQ.
"""

import dataclasses
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from redis import Redis

from services.chain.accept import Accepted
from services.connections.servers import as_store
from services.mempool.admission import Admitted, Mempool
from services.mining.templates import TemplateMaker
from services.node import Node, build_node
from services.settings.table import Settings, load
from services.store.mining import MiningStore
from services.store.rounds import MiningRequest, Round
from services.store.searches import Searched
from shared.amounts import format_amount
from shared.block import Block, Template
from shared.chain_spec import ChainSpec
from shared.errors import NodeError
from shared.keys import KeyPair
from shared.transaction import Transaction, read_transaction, sign
from tests.support.clocks import FakeClock
from tests.support.http import Json
from tests.support.keys import BOB, MINER
from tests.support.queues import RecordedJobs, RecordingQueue
from tests.support.searching import claim_of
from tests.support.specs import CHAIN_ID, make_spec, mined_spec, write_spec
from worker.kernel.plain import PlainKernel

MakeNode = Callable[..., Node]  # the fixture `make_node`

# --- A node whose time and queue are the test's -----------------------------------------------------------------------


def make_settings(spec: ChainSpec | None = None, **changes: Any) -> Settings:
    """The default settings of a node that mines `spec`, free transactions allowed."""
    fields = {"spec": spec or make_spec(), "min_fee": 0, "nonces_ahead": 64, "reward_address": MINER, **changes}
    return dataclasses.replace(load({}), **fields)


class TestNode:
    """A node without processes: the store is real, the clock and the queue are the test's.

    It also signs, admits and mines for the test.
    """

    __test__ = False  # not a class of tests, despite its name

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
        """Append a block with these transactions, as if another node had found it."""
        return self.node.acceptor.accept(self.block(*transactions, recipient=recipient)).block

    def mine_pool(self) -> Accepted:
        """Append the block that the mempool's template makes."""
        made = self.node.rounds._templates.make(MINER)
        self.node.mempool.drop_invalid(made.refused)
        return self.node.acceptor.accept(self.sealed(made.template))


def admit_one(mempool: Mempool, transaction: Transaction) -> Admitted:
    """Admit a transaction without what follows from it, such as a round. Raises the refusal."""
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


# --- A node with the settings, the clock and the queue of a started one -----------------------------------------------


def transfer(key: KeyPair, nonce: int, **changes: Any) -> Json:
    """A signed transfer of one coin to Bob. `changes` are made before it is signed; None takes a field away."""
    fields = {
        "type": "transfer", "chain_id": CHAIN_ID, "nonce": nonce, "sender": key.address, "recipient": BOB.address,
        "amount": "1", "fee": "0.001",
    } | changes  # fmt: skip
    return sign({name: value for name, value in fields.items() if value is not None}, key)


def local_node(redis_url: str, directory: Path, spec: Mapping[str, Any] | None = None, **variables: str) -> Node:
    """A node with a name of its own; `variables` are settings without QUARRY_. Its genesis block is written."""
    settings = load(
        {
            "QUARRY_NODE": f"test-{secrets.token_hex(6)}",
            "QUARRY_SPEC": str(write_spec(directory / "spec.toml", mined_spec(**(spec or {})))),
            "QUARRY_REDIS_URL": redis_url,
            "QUARRY_REWARD_ADDRESS": MINER,
            "QUARRY_DATA_DIR": str(directory),
        }
        | {f"QUARRY_{name}": value for name, value in variables.items()}
    )
    redis: Any = Redis.from_url(redis_url)  # its types are looser than the port's
    node = build_node(settings, store=redis, queue=RecordedJobs(redis))
    node.chain.initialise()
    return node


def mine(node: Node) -> Block:
    """Search the open round and seal it, as a worker does. If no round is open, ask for a block first."""
    if node.rounds.ensure_open() is None:
        node.requests.ask()
    round_id, kernel = node.mining.situation().open_round, PlainKernel()
    while (claim := claim_of(node, round_id, "test", 10_000, Searched())) is not None:
        proof = kernel.scan(claim.prefix, claim.difficulty, claim.proofs.start, claim.proofs.stop)
        if proof is not None and (accepted := node.rounds.seal(claim, proof, "test")) is not None:
            return accepted.block
    raise AssertionError("the round ended without a block")


def grow(node: Node, *transactions: Json, recipient: str = MINER) -> Block:
    """Append a block without a round: with `transactions`, or with what waits. The difficulty must be low."""
    if transactions:
        items = [node.rules.read_request(item) for item in transactions]
        template = node.rules.template(node.chain.window(node.chain.tip()), items, recipient, node.clock.now())
    else:
        template = TemplateMaker(node.chain, node.pool, node.rules, node.clock).make(recipient).template
    proof = PlainKernel().scan(template.seal, template.difficulty, 0, 10**6)
    assert proof is not None
    return node.acceptor.accept(node.rules.read_block(template.with_proof(proof))).block


def redis_of(node: Node) -> "Redis":
    """The connection behind a node's store, for commands that the port does not have."""
    redis: Any = node.chain._redis
    assert isinstance(redis, Redis)
    return redis


def saved(node: Node) -> dict[bytes, bytes]:
    """All that a node in this process has stored, for `restore`. Making a copy is quicker than the blocks once more."""
    redis, prefix = redis_of(node), node.chain.keys.prefix.encode()
    keys = list(redis.scan_iter(prefix + b"*", count=1000))
    with redis.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.dump(key)
        return {key.removeprefix(prefix): value for key, value in zip(keys, pipeline.execute(), strict=True)}


def restore(node: Node, stored: dict[bytes, bytes]) -> None:
    """Let a node, which is new and has the same spec, have stored what another had."""
    prefix = node.chain.keys.prefix.encode()
    with redis_of(node).pipeline() as pipeline:
        for key, value in stored.items():
            pipeline.restore(prefix + key, 0, value, replace=True)
        pipeline.execute()


def forget(node: Node) -> None:
    """Remove all keys of a node in this process and close its connection."""
    with redis_of(node) as redis:
        keys = list(redis.scan_iter(f"{node.chain.keys.prefix}*", count=1000))
        if keys:
            redis.unlink(*keys)
