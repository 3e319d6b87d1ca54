"""The append: at most one per tip, all keys or none, and always what a replay computes."""

import multiprocessing
import time
from collections import Counter
from multiprocessing.synchronize import Barrier
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from services.connections.servers import as_store, connect_for_requests
from services.errors import TipMoved, WrongChain
from services.launch.embedded import EmbeddedValkey
from services.node import build_node
from services.store.chain import SealedBy
from shared.errors import RuleError
from shared.keys import KeyPair
from tests.support.clocks import START, FakeClock
from tests.support.keys import ALICE, BOB, CAROL, DAVE, KEYS, MINER
from tests.support.nodes import TestNode, make_settings, request_of
from tests.support.queues import RecordingQueue
from tests.support.servers import connect
from tests.support.specs import COIN, make_spec
from tests.support.stored import assert_store_equals_replay, dump, texts

RACES = 200


# --- initialise ---


def test_initialise_twice_changes_nothing(here: TestNode, redis: Redis) -> None:
    before = dump(redis)
    here.node.chain.initialise()
    here.build(redis).chain.initialise()
    assert dump(redis) == before
    assert_store_equals_replay(here.node, redis)


def test_initialise_leaves_a_chain_that_has_grown_alone(here: TestNode, redis: Redis) -> None:
    here.mine(here.sign(ALICE, 0))
    before = dump(redis)
    here.node.chain.initialise()
    assert dump(redis) == before


def test_a_chain_of_another_spec_is_refused_and_both_are_named(here: TestNode, redis: Redis) -> None:
    before = dump(redis)
    other = make_settings(make_spec(reward="2"))
    stranger = build_node(other, store=as_store(redis), queue=RecordingQueue(), clock=FakeClock())
    with pytest.raises(WrongChain) as caught:
        stranger.chain.initialise()
    assert here.node.rules.genesis().hash in str(caught.value)
    assert stranger.rules.genesis().hash in str(caught.value)
    assert dump(redis) == before


# --- append ---


def test_what_was_mined_leaves_no_record_and_what_it_made_impossible_does(here: TestNode) -> None:
    # Three wait; the block holds the first, and another transaction instead of the second.
    mined, lost, next_one = (here.admit(ALICE, nonce) for nonce in range(3))
    rival = here.sign(ALICE, 1, amount="2")
    here.mine(mined, rival)
    for transaction in (mined, rival, next_one):
        assert here.node.pool.record(transaction.id) is None
    assert here.node.pool.entry(mined.id) is None and here.node.pool.entry(next_one.id) is not None
    record = here.node.pool.record(lost.id)
    assert record is not None
    assert (record["status"], record["reason"]) == ("dropped", "nonce used by another transaction in block 2")
    assert here.node.pool.totals()[0] == 1


def test_every_key_is_what_a_replay_computes(here: TestNode, redis: Redis) -> None:
    fresh = KeyPair(b"\x55" * 32)
    everything = here.sign(DAVE, 0, recipient=fresh.address, amount=1000 * COIN)
    here.mine()
    here.mine(here.sign(ALICE, 0, amount="0.25", fee="0.000001", data="memo"), here.sign(BOB, 0, recipient=BOB.address))
    here.mine(
        here.sign(ALICE, 1, type="approve", recipient=CAROL.address, amount="3"),
        here.sign(CAROL, 0, type="transfer_from", owner=ALICE.address, recipient=DAVE.address, amount="1"),
        here.sign(ALICE, 2, type="approve", recipient=BOB.address, amount="7", fee="1"),
        recipient=ALICE.address,
    )
    # Carol uses the allowance up, Bob's is taken back, and Dave spends all that the first block left him.
    here.mine(
        here.sign(CAROL, 1, type="transfer_from", owner=ALICE.address, recipient=ALICE.address, amount="2"),
        here.sign(ALICE, 3, type="approve", recipient=BOB.address, amount="0"),
        everything,
    )
    here.mine(here.sign(fresh, 0, recipient=ALICE.address, amount=1000 * COIN))
    replay = assert_store_equals_replay(here.node, redis)
    assert replay.allowances == {}
    assert replay.accounts[fresh.address].balance == 0


def test_a_retried_append_is_a_success_that_changes_nothing(here: TestNode, redis: Redis) -> None:
    block = here.block(here.sign(ALICE, 0))
    tip, known = here.node.chain.entries(here.node.rules.touched(block.transactions))
    change = here.node.rules.apply(block, known)
    here.node.chain.append(block, change, tip, START, None)
    before = dump(redis)
    assert here.node.chain.append(block, change, tip, START, None) is None
    assert here.node.acceptor.accept(block).request is None
    assert dump(redis) == before

    here.mine()
    before = dump(redis)
    assert here.node.chain.append(block, change, tip, START, None) is None  # also when the chain has grown since
    assert dump(redis) == before


def test_a_sealed_block_that_is_appended_twice_answers_one_request(here: TestNode, redis: Redis) -> None:
    mining = here.node.mining
    for name in ("a" * 32, "b" * 32):
        mining.add_request(name, START, 64)
    template = here.template([])
    mining.open("c" * 32, "0", template, 0, START)
    block = here.sealed(template)
    for _ in range(2):
        here.node.acceptor.accept(block, SealedBy("c" * 32, "worker"))
    statuses = [request_of(mining, name).status for name in ("a" * 32, "b" * 32)]
    assert statuses == ["finished", "queued"]


def test_a_block_that_does_not_extend_the_tip_writes_nothing(here: TestNode, redis: Redis) -> None:
    late = here.block(recipient=BOB.address)
    here.mine()
    before = dump(redis)
    with pytest.raises(TipMoved):
        here.node.acceptor.accept(late)
    assert dump(redis) == before


def test_an_invalid_block_writes_nothing(here: TestNode, redis: Redis) -> None:
    block = here.block(here.sign(ALICE, 1))  # a gap
    before = dump(redis)
    with pytest.raises(RuleError, match="next nonce is 0"):
        here.node.acceptor.accept(block)
    assert dump(redis) == before


def test_a_wrong_argument_writes_nothing(here: TestNode, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each argument that the script reads as a number is damaged, one at a time."""
    here.admit(ALICE, 0)
    block = here.block(here.sign(ALICE, 0))
    taken: list[list[Any]] = []
    run = here.node.chain._scripts.run

    def keep(name: str, keys: list[str], args: list[Any]) -> Any:
        taken.append(args)
        raise TipMoved

    monkeypatch.setattr(here.node.chain._scripts, "run", keep)
    with pytest.raises(TipMoved):
        here.node.acceptor.accept(block)
    monkeypatch.setattr(here.node.chain._scripts, "run", run)
    args = taken[0]
    lengths = [18]
    while lengths[-1] + args[lengths[-1]] + 1 < len(args):
        lengths.append(lengths[-1] + args[lengths[-1]] + 1)
    assert len(lengths) == 5 and args[-1] == 1, "five lists, and Alice's nonce after the block"
    before = dump(redis)
    damages: list[tuple[int, Any]] = [(at, "x") for at in (2, 13, 14, *lengths, len(args) - 2, len(args) - 1)]
    damages += [(at, value) for at in lengths for value in (99_999, -1, args[at] + 1)]
    for position, value in damages:
        with pytest.raises(ResponseError):
            run("append", [here.node.chain.keys.prefix], [*args[:position], value, *args[position + 1 :]])
        assert dump(redis) == before, f"argument {position + 1}"
    with pytest.raises(ResponseError):
        run("append", [here.node.chain.keys.prefix], args[:-2])
    assert dump(redis) == before
    assert run("append", [here.node.chain.keys.prefix], args)[0] == b"appended"


# --- races ---


def _race(url: str, barrier: Barrier, results: Any, number: int) -> None:
    here = TestNode(connect_for_requests(url))
    append = here.node.chain.append

    def wait_and_append(*args: Any) -> str | None:
        barrier.wait(20)  # both have validated against this tip
        return append(*args)

    vars(here.node.chain)["append"] = wait_and_append
    outcomes = []
    for _ in range(RACES):
        block = here.block(recipient=KEYS[number].address)
        barrier.wait(20)  # both have read the tip
        try:
            outcomes.append((block.hash, here.node.acceptor.accept(block).block.hash == block.hash))
        except TipMoved:
            outcomes.append((block.hash, False))
        barrier.wait(20)
    results.put((number, outcomes))


def test_of_two_processes_that_append_on_one_tip_exactly_one_succeeds(valkey: EmbeddedValkey) -> None:
    redis = connect(valkey)
    here = TestNode(redis)
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    processes = [context.Process(target=_race, args=(valkey.url, barrier, results, number)) for number in (0, 1)]
    for process in processes:
        process.start()
    try:
        found = dict(results.get(timeout=40) for _ in processes)
    finally:
        for process in processes:
            process.join(10)
            process.kill()
    winners = []
    for (first_hash, first), (second_hash, second) in zip(found[0], found[1], strict=True):
        assert first_hash != second_hash
        assert first != second, "exactly one of the two is appended"
        winners.append(first_hash if first else second_hash)
    assert len(winners) == RACES
    assert texts(redis.lrange(here.node.chain.keys.heights, 1, -1)) == winners
    # Both won some: a race that one process always wins proves little.
    assert min(Counter(first for _, first in found[0]).values()) > RACES // 20
    assert_store_equals_replay(here.node, redis)


# --- large blocks ---


def processor_seconds(redis: Redis) -> float:
    """The processor time that the server has used since it began."""
    used = redis.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


def test_four_thousand_small_transactions_go_in_at_once(redis: Redis, capsys: pytest.CaptureFixture[str]) -> None:
    """Different senders and recipients, all of them in the mempool: the most work for one append."""
    senders = [KeyPair(number.to_bytes(32, "big")) for number in range(1, 4000)]
    allocations = {key.address: "1" for key in senders}
    spec = make_spec(max_block_bytes=2**24, max_block_transactions=4000, allocations=allocations)
    here = TestNode(redis, make_settings(spec))
    transactions = []
    for key in senders:
        recipient = KeyPair(key.seed[::-1]).address
        transactions.append(here.sign(key, 0, amount="0.5", recipient=recipient))
    assert all(not isinstance(outcome, Exception) for outcome in here.node.mempool.admit_many(transactions))
    made = here.node.rounds._templates.make(MINER)
    assert made.transactions == 3999
    block = here.sealed(made.template)
    redis.config_set("slowlog-log-slower-than", 0)
    redis.slowlog_reset()
    redis.config_resetstat()
    started, used = time.perf_counter(), processor_seconds(redis)
    here.node.acceptor.accept(block)
    whole, used = time.perf_counter() - started, processor_seconds(redis) - used
    commands = sum(item["calls"] for item in redis.info("commandstats").values())
    slowest = max(entry["duration"] for entry in redis.slowlog_get(128)) / 1000
    redis.config_set("slowlog-log-slower-than", 10_000)
    with capsys.disabled():
        print(f"\nappend of 4,000 transactions: script {slowest:.0f} ms, with validation {whole * 1000:.0f} ms")
    assert here.node.pool.totals() == (0, 0)
    assert commands <= 7 * 4000 + 100  # those of the script included: all that can be written in bulk is
    assert used < 0.5  # the goal is 0.1; of the server's processor time, which other programs do not add to
    assert_store_equals_replay(here.node, redis)
