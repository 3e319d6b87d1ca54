"""A node that pays its miners, and the miners: for tests of payouts."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from redis import Redis

from services.backup.accounting import Restorer, is_item
from services.connections.servers import as_store
from services.payouts.sharing import Payer
from services.store.accounting import AccountingStore
from services.store.leases import Lease
from services.store.tokens import TokenStore
from shared.amounts import parse_amount
from shared.block import Block
from shared.payouts import split
from shared.proof import accepts
from shared.transaction import Transaction
from tests.support.keys import ALICE, BOB, CAROL, DAVE
from tests.support.nodes import TestNode, make_settings
from tests.support.specs import make_spec

DEPTH = 3
DIFFICULTY = 2_000


def make_node(redis: Redis, **changes: Any) -> TestNode:
    fields = {"reward_address": ALICE.address, "payout_depth": DEPTH, "payout_window": 2, **changes}
    node = TestNode(redis, make_settings(make_spec(difficulty=DIFFICULTY), **fields))
    node.node.begin()
    return node


def payer(here: TestNode, redis: Redis | None = None) -> Payer:
    """The payer of a process of its own."""
    return Payer(here.build(redis or here.redis), ALICE, DEPTH)


def secret(here: TestNode) -> str:
    return here.node.leases.vouchers.new("class").secret


def take(here: TestNode, voucher: str, miner: str, address: str) -> Lease:
    if here.node.rounds.ensure_open() is None:
        here.node.requests.ask()
    found = here.node.leases.take(voucher, miner, address, 1)
    assert found is not None
    return found


def work(here: TestNode, voucher: str, miner: str, address: str, most: int = 99) -> int:
    """Do a lease, without the proofs of the block. Returns the credit."""
    return report(here, voucher, take(here, voucher, miner, address), most)


def report(here: TestNode, voucher: str, lease: Lease, most: int = 99) -> int:
    """Work a lease off, without the proofs of the block. Returns the credit."""
    shares = [
        proof
        for proof in lease.proofs
        if accepts(lease.prefix, lease.share_difficulty, proof) and not accepts(lease.prefix, lease.difficulty, proof)
    ]
    return here.node.leases.report(voucher, lease.id, shares[:most], len(lease.proofs)).credited


def seal(here: TestNode, voucher: str, miner: str, address: str) -> tuple[str, int]:
    """Lease until there is a proof of the block, and hand in that alone. Returns the hash and the credit."""
    while True:
        lease = take(here, voucher, miner, address)
        proof = next((each for each in lease.proofs if accepts(lease.prefix, lease.difficulty, each)), None)
        if proof is not None:
            reported = here.node.leases.report(voucher, lease.id, [proof], 1)
            assert reported.sealed is not None
            return reported.sealed, reported.credited


def pool_block(here: TestNode) -> Block:
    """A block with what waits, as another node finds it."""
    made = here.node.rounds._templates.make(DAVE.address)
    return here.node.acceptor.accept(here.sealed(made.template)).block


def settle(here: TestNode, payers: list[Payer], blocks: int = 3 * DEPTH) -> int:
    over = 0
    for _ in range(blocks):
        over += sum(each.run() for each in payers)
        pool_block(here)
    return over + sum(each.run() for each in payers)


def payments(here: TestNode) -> Iterator[Transaction]:
    """All transfers of the node's account on its chain, but those in pruned blocks."""
    for text in here.node.chain.stream(max(2, here.node.chain.kept_from()), here.node.chain.tip().height):
        block = here.node.rules.read_block(json.loads(text))
        yield from (item for item in block.transactions[1:] if item.sender == ALICE.address)


def paid(here: TestNode, block: str) -> dict[str, int]:
    """What the chain says was paid for a block."""
    sums: Counter[str] = Counter()
    for item in payments(here):
        if item.fields.get("data") == f"quarry payout {block}":
            assert item.recipient not in sums, "paid twice"
            sums[item.recipient] += item.amount
    return dict(sums)


def keys_of(here: TestNode) -> list[str]:
    return sorted(key.decode() for key in here.redis.scan_iter("*payout-shares:*")) + sorted(
        key.decode() for key in here.redis.scan_iter("*payout:*")
    )


def counts(here: TestNode) -> dict[str, int]:
    found = here.redis.hgetall(here.node.chain.keys.payouts)
    return {name.decode(): int(value) for name, value in found.items()}


def window(here: TestNode) -> tuple[list[tuple[int, str]], dict[str, int], int]:
    """The log (hashes, address), the sums, and the total."""
    keys = here.node.chain.keys
    log = [item.decode().split(" ") for item in here.redis.lrange(keys.share_log, 0, -1)]
    sums = {name.decode(): int(value) for name, value in here.redis.hgetall(keys.share_window).items()}
    return [(int(item[0]), item[1]) for item in log], sums, counts(here).get("total", 0)


def reward_of(here: TestNode, block: str) -> int:
    return parse_amount(here.node.chain.block_object(block)["transactions"][0]["amount"])


# --- backups ---


@dataclass
class Backup:
    """What a backup holds of a node."""

    items: list[tuple[str, Any]]
    blocks: list[bytes]


def back_up(here: TestNode) -> Backup:
    store = AccountingStore(as_store(here.redis), here.node.chain.keys)
    items = json.loads(json.dumps(list(store.items())))
    assert all(is_item(kind, value) for kind, value in items)
    return Backup([(kind, value) for kind, value in items], blocks_of(here))


def blocks_of(here: TestNode) -> list[bytes]:
    return list(here.node.chain.stream(2, here.node.chain.tip().height))


def restore(backup: Backup, here: TestNode, name: str = "restored", blocks: list[bytes] | None = None) -> TestNode:
    """Another node with the chain and the items of a backup. `blocks`: in place of the backup's."""
    made = TestNode(here.redis, replace(here.settings, node=name), clock=here.clock)
    follow(made, backup.blocks if blocks is None else blocks)
    store, keys = as_store(here.redis), made.node.chain.keys
    restorer = Restorer(made.node.rules, TokenStore(store, keys), AccountingStore(store, keys), len(backup.blocks) + 1)
    for kind, value in backup.items:
        restorer.take(kind, value)
    restorer.finish()
    made.node.begin()
    return made


def follow(node: TestNode, blocks: list[bytes]) -> None:
    """Append the blocks that a node lacks."""
    for text in blocks[node.node.chain.tip().height - 1 :]:
        node.node.acceptor.accept(node.node.rules.read_block(json.loads(text)))


def sealed_block(here: TestNode) -> str:
    """A block of two miners, with its reward for Alice."""
    voucher = secret(here)
    work(here, voucher, "carol", CAROL.address, 3)
    return seal(here, voucher, "bob", BOB.address)[0]


def expected(here: TestNode, block: str) -> dict[str, int]:
    return split(reward_of(here, block), here.node.payouts.shares(block))


def planned(here: TestNode, monkeypatch: pytest.MonkeyPatch, block: str) -> None:
    """Run a payer that ends when it has written its plan."""
    for _ in range(DEPTH):
        pool_block(here)
    with monkeypatch.context() as patch:
        patch.setattr(Payer, "_pay", lambda *_: (0, False))
        payer(here).run()
    assert here.node.payouts.plan(block) is not None and not list(here.node.pool.queue(ALICE.address))
