"""Two peers whose chains part, and what must hold of each after a reorganisation."""

import random
from collections.abc import Sequence
from typing import Any

from shared.keys import KeyPair
from shared.transaction import Transaction
from tests.network.ports import Member, Network
from tests.support.specs import COIN
from tests.support.stored import assert_mempool_agrees, assert_store_equals_replay, queues_of


def fork(network: Network, *transactions: Transaction) -> tuple[Member, Member]:
    """Two peers with a short chain in common, in whose last block `transactions` are."""
    a, b = network.members("a", "b")
    a.mine(*transactions)
    network.copy(a, b)
    return a, b


def pending(member: Member) -> dict[str, list[str]]:
    """Sender -> ids in the mempool, by nonce."""
    return queues_of(member.node)


def check_pool(member: Member) -> None:
    """The mempool's indexes agree with each other and with the ledger."""
    assert_mempool_agrees(member.node, member.redis)


def check(member: Member) -> None:
    assert_store_equals_replay(member.node, member.redis)
    check_pool(member)
    assert member.redis.get(member.node.chain.keys.journal) is None


def status(member: Member, transaction: Transaction) -> str:
    found = member.get(f"/transactions/{transaction.id}")
    return str(found["status"])


def random_block(member: Member, rng: random.Random, keys: Sequence[KeyPair], size: int) -> list[Transaction]:
    """A block of transactions of all kinds, all valid in their order."""
    nonces = {key.address: member.node.chain.account(key.address).nonce for key in keys}
    made: list[Transaction] = []
    for _ in range(size):
        key, other = rng.choice(keys), rng.choice(keys)
        fields: dict[str, Any] = {"recipient": other.address, "amount": str(rng.randint(0, 3)), "fee": "0.01"}
        owner = rng.choice(keys)
        if rng.random() < 0.3:
            fields["type"] = "approve"
        elif rng.random() < 0.4 and member.node.chain.allowance(owner.address, key.address) >= 10 * size * COIN:
            fields |= {"type": "transfer_from", "owner": owner.address}
        if fields.get("type") == "approve":
            fields["amount"] = str(rng.choice([0, 1, 1000]))
        if fields.get("type") == "transfer_from" and any(
            item.type == "approve" and item.sender == owner.address for item in made
        ):
            continue
        made.append(member.sign(key, nonces[key.address], **fields))
        nonces[key.address] += 1
    return made
