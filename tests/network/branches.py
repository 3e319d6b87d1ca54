"""Two peers whose chains part, and what must hold of each after a reorganisation."""

from shared.transaction import Transaction
from tests.network.ports import Member, Network
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
