"""Two peers whose chains part, and what must hold of each after a reorganisation."""

from typing import Any

from shared.transaction import Transaction
from tests.network.ports import Member, Network
from tests.support.stored import assert_store_equals_replay


def fork(network: Network, *transactions: Transaction) -> tuple[Member, Member]:
    """Two peers with a short chain in common, in whose last block `transactions` are."""
    a, b = network.members("a", "b")
    a.mine(*transactions)
    network.copy(a, b)
    return a, b


def pending(member: Member) -> dict[str, list[str]]:
    """Sender -> ids in the mempool, by nonce."""
    found: dict[str, list[tuple[int, str]]] = {}
    for page in member.node.pool.by_fee():
        for entry in page:
            found.setdefault(entry.sender, []).append((entry.nonce, entry.id))
    return {sender: [item for _, item in sorted(items)] for sender, items in found.items()}


def check_pool(member: Member) -> None:
    """The mempool's indexes agree with each other and with the ledger."""
    redis: Any = member.redis
    keys, pool = member.node.chain.keys, member.node.pool
    entries: Any = redis.hgetall(keys.entries)
    assert int(redis.hget(keys.pool, "bytes") or b"0") == sum(map(len, entries.values()))
    order = {item.decode()[-64:] for item in redis.zrange(keys.order, 0, -1)}
    expiry = {item.decode() for item in redis.zrange(keys.expiry, 0, -1)}
    assert {name.decode() for name in entries} == order == expiry
    ends, queued = set(), set()
    for sender, ids in pending(member).items():
        nonces = [entry.nonce for entry in pool.queue(sender)]
        account = member.node.chain.account(sender).nonce
        assert [entry.id for entry in pool.queue(sender)] == ids
        assert nonces[0] >= account
        following = next(nonce for nonce in range(account, account + len(nonces) + 1) if nonce not in nonces)
        assert pool.next_nonce(sender) == following
        ends.add(redis.zrange(keys.queue(sender), -1, -1)[0])
        queued |= set(ids)
    assert set(redis.zrange(keys.ends, 0, -1)) == ends
    assert queued == order
    for transaction_id in queued:
        assert member.node.chain.locate(transaction_id) is None
        assert pool.record(transaction_id) is None


def check(member: Member) -> None:
    assert_store_equals_replay(member.node, member.redis)
    check_pool(member)
    assert member.redis.get(member.node.chain.keys.journal) is None


def status(member: Member, transaction: Transaction) -> str:
    found = member.get(f"/transactions/{transaction.id}")
    return str(found["status"])
