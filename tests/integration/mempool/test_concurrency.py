"""Many writers at once: nothing is lost, no nonce is taken twice, and the cap holds."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from redis import Redis

from services.connections.servers import connect_for_requests
from services.errors import Busy, PolicyError
from services.launch.embedded import EmbeddedValkey
from services.mempool.admission import Admitted
from services.node import Node
from services.store.pool import Question
from shared.errors import NodeError
from shared.transaction import Transaction
from tests.support.keys import ALICE, KEYS
from tests.support.nodes import TestNode, admit_one, make_settings
from tests.support.stored import texts

THREADS = 8
SENDERS = KEYS[:64]


def side_by_side(here: TestNode, url: str, work: Callable[[int, Node], None]) -> None:
    """Run `work` in THREADS threads, each with a node object and a connection of its own, all starting together."""
    start = threading.Barrier(THREADS)

    def run(number: int) -> None:
        with connect_for_requests(url) as redis:
            node = here.build(redis)
            start.wait(10)
            work(number, node)

    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(run, number) for number in range(THREADS)]:
            done.result(60)


def assert_whole(here: TestNode, expected: dict[str, list[Transaction]]) -> None:
    """The queues are exactly the expected ones, and every index agrees with them."""
    pool = here.node.pool
    for sender, transactions in expected.items():
        queue = pool.queue(sender)
        assert [(entry.nonce, entry.id) for entry in queue] == [(item.nonce, item.id) for item in transactions]
        (view,) = pool.view([Question(sender, [])])
        assert view.next_nonce == len(transactions)
        assert view.total in (None, sum(item.fee + item.amount for item in transactions))
    everything = [item for transactions in expected.values() for item in transactions]
    entries = here.redis.hgetall(pool.keys.entries)
    assert pool.totals() == (len(everything), sum(len(value) for value in entries.values()))
    order = [entry.id for page in pool.by_fee() for entry in page]
    assert sorted(order) == sorted(item.id for item in everything)
    fees = {item.id: item.fee for item in everything}
    assert [fees[name] for name in order] == sorted(fees.values(), reverse=True)
    assert here.redis.zcard(pool.keys.ends) == len([1 for transactions in expected.values() if transactions])


def test_eight_threads_with_one_sender(valkey: EmbeddedValkey, redis: Redis) -> None:
    """They share the nonces of one account, as a wallet that sends in parallel does."""
    here = TestNode(redis)
    transactions = [here.sign(ALICE, nonce, amount=1, fee=nonce % 7) for nonce in range(64)]

    def send(number: int, node: Node) -> None:
        for transaction in transactions[number::THREADS]:
            assert admit_one(node.mempool, transaction).new

    side_by_side(here, valkey.url, send)
    assert_whole(here, {ALICE.address: transactions})
    assert len(here.mine_pool().block.transactions) == 65


def test_eight_threads_that_send_the_same(valkey: EmbeddedValkey, redis: Redis) -> None:
    here = TestNode(redis)
    transactions = [here.sign(ALICE, nonce, amount=1) for nonce in range(20)]
    news: list[str] = []

    def send(_: int, node: Node) -> None:
        for transaction in transactions:
            admitted = admit_one(node.mempool, transaction)
            assert admitted.id == transaction.id
            if admitted.new:
                news.append(admitted.id)

    side_by_side(here, valkey.url, send)
    assert sorted(news) == sorted(item.id for item in transactions)  # each was new once
    assert_whole(here, {ALICE.address: transactions})


def test_eight_threads_that_fight_for_one_nonce(valkey: EmbeddedValkey, redis: Redis) -> None:
    """Different transactions with the same nonce: one waits, and every other that was acknowledged was replaced."""
    here = TestNode(redis)
    offers = [[here.sign(ALICE, 0, amount=1, fee=8 * turn + number) for turn in range(12)] for number in range(THREADS)]
    acknowledged: list[Transaction] = []

    def send(number: int, node: Node) -> None:
        for transaction in offers[number]:
            outcome = node.mempool.admit_many([transaction])[0]
            if isinstance(outcome, Admitted):
                acknowledged.append(transaction)
            else:
                assert isinstance(outcome, PolicyError)
                assert outcome.code in ("replacement_underpriced", "too_many_replacements")

    side_by_side(here, valkey.url, send)
    (last,) = here.node.pool.queue(ALICE.address)
    assert len(acknowledged) > 1
    assert last.replacements == len(acknowledged) - 1
    fees = {item.id: item.fee for item in acknowledged}
    assert fees[last.id] == max(fees.values())
    for transaction in acknowledged:
        record = here.node.pool.record(transaction.id)
        assert (record or {}).get("status") == (None if transaction.id == last.id else "replaced")


def test_eight_threads_with_many_senders(valkey: EmbeddedValkey, redis: Redis) -> None:
    """Single transactions and batches, while blocks are mined from them."""
    here = TestNode(redis)
    expected = {key.address: [here.sign(key, nonce, amount=1, fee=nonce + 1) for nonce in range(12)] for key in SENDERS}

    def send(number: int, node: Node) -> None:
        mine = [expected[key.address] for key in SENDERS[number::THREADS]]
        if number % 2:
            outcomes = node.mempool.admit_many([item for turn in zip(*mine, strict=True) for item in turn])
            assert all(isinstance(outcome, Admitted) for outcome in outcomes)
            return
        for turn in zip(*mine, strict=True):
            for transaction in turn:
                admit_one(node.mempool, transaction)

    side_by_side(here, valkey.url, send)
    assert_whole(here, expected)
    mined = here.mine_pool().block.transactions
    assert len(mined) == 1 + 12 * len(SENDERS)


def test_the_cap_holds_against_eight_threads(valkey: EmbeddedValkey, redis: Redis) -> None:
    """A full mempool, offers of all fees: every acknowledged transaction waits or was evicted, and the cap holds."""
    cap = 20
    here = TestNode(redis, make_settings(max_mempool=cap))
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    offers = [
        [here.sign(key, nonce, amount=1, fee=rng.randrange(1, 10_000)) for nonce in range(6)] for key in KEYS[:32]
    ]
    acknowledged: list[str] = []
    sizes: list[int] = []

    def send(number: int, node: Node) -> None:
        for queue in offers[number::THREADS]:
            for transaction in queue:
                outcome: Admitted | NodeError = node.mempool.admit_many([transaction])[0]
                sizes.append(node.pool.totals()[0])
                if isinstance(outcome, Admitted):
                    acknowledged.append(outcome.id)
                else:
                    assert isinstance(outcome, Busy)

    side_by_side(here, valkey.url, send)
    assert max(sizes) == cap
    waiting = {entry.id for page in here.node.pool.by_fee() for entry in page}
    evicted = set(texts(here.redis.hkeys(here.node.pool.keys.records)))
    assert waiting | evicted == set(acknowledged)
    assert not waiting & evicted
    assert len(waiting) == cap and evicted
