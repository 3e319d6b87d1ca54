"""Rounds with real searches: the job function's own loop, several of them in threads, on the machine's clock."""

import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import structlog
from redis import Redis

import services.mining.rounds
from services import registry
from services.connections.servers import as_store, connect_for_jobs
from services.launch.embedded import EmbeddedValkey
from services.mining.rounds import LONGEST_REST, REST_PER_TRANSACTION
from services.node import Node, build_node
from services.store.mining import MiningStore
from services.store.searches import Searched
from tests.integration.mining.searchers import SPEED, mining
from tests.support.desks import attended
from tests.support.keys import ALICE
from tests.support.nodes import TestNode, make_settings, request_of, round_of
from tests.support.searching import claim_of
from tests.support.specs import make_spec
from tests.support.stored import assert_store_equals_replay, texts
from tests.support.waiting import eventually
from worker import context
from worker.context import Context
from worker.jobs.search import search
from worker.kernel.plain import PlainKernel


def test_ten_requests_at_once_are_ten_blocks(valkey: EmbeddedValkey, redis: Redis) -> None:
    with mining(valkey.url, redis, workers=3, difficulty=3000) as (node, queue):
        with ThreadPoolExecutor(10) as callers:
            requests = list(callers.map(lambda _: node.requests.ask(), range(10)))
            answers = list(callers.map(lambda name: node.requests.wait(name, 30), requests))
        eventually(lambda: not node.mining.situation().open_round)
    assert [answer.status for answer in answers] == ["finished"] * 10
    hashes = texts(redis.lrange(node.chain.keys.heights, 1, -1))
    assert sorted(str(answer.block) for answer in answers) == sorted(hashes)
    assert len({answer.round_id for answer in answers}) == 10
    assert queue.found >= 10  # a round may get several proofs, of which one makes the block
    assert_store_equals_replay(node, redis)


def test_hashes_of_rounds_add_up_to_the_nodes(valkey: EmbeddedValkey, redis: Redis) -> None:
    with mining(valkey.url, redis, workers=3, difficulty=20_000) as (node, _):
        requests = [node.requests.ask() for _ in range(4)]
        answers = [node.requests.wait(name, 30) for name in requests]
    total = wasted = 0
    for answer in answers:
        found = round_of(node.mining, answer.round_id)
        workers = node.mining.round_workers(found.id)
        assert sum(worker.hashes for worker in workers.values()) == found.hashes > 0
        total += found.hashes
        wasted += found.wasted
    counters = node.mining.counters()
    assert (total, wasted) == (counters["hashes"], counters.get("wasted_hashes", 0))


def test_automining_confirms_what_arrives_while_a_search_lingers(valkey: EmbeddedValkey, redis: Redis) -> None:
    with mining(valkey.url, redis, workers=2, difficulty=500, automine=True) as (node, queue):
        signer = TestNode(redis, node.settings)
        for nonce in range(5):
            admitted = node.submit_one(signer.sign(ALICE, nonce))
            eventually(lambda name=admitted.id: node.chain.locate(name) is not None)  # type: ignore[misc] # bound now
        # Two jobs per block would be ten: a search that lingers spares the next one.
        assert sum(copies for _, copies in queue.searches) < 10
    assert node.pool.totals() == (0, 0)


def test_a_stream_of_transactions_fills_blocks(valkey: EmbeddedValkey, redis: Redis) -> None:
    with mining(valkey.url, redis, workers=1, difficulty=50, automine=True) as (node, _):
        signer = TestNode(redis, node.settings)
        for nonce in range(200):
            node.submit([signer.sign(ALICE, nonce)])
            time.sleep(0.001)
        eventually(lambda: node.pool.totals() == (0, 0))
    blocks = [node.chain.block_object(found) for found in texts(redis.lrange(node.chain.keys.heights, 1, -1))]
    assert sum(len(block["transactions"]) - 1 for block in blocks) == 200
    rounds = [round_of(node.mining, name) for name in rounds_of(redis, node)]
    ended = sorted((item.ended_at or 0.0, item.opened_at, item.transactions) for item in rounds)
    for (before, _, transactions), (_, opened, _) in itertools.pairwise(ended):
        rest = min(LONGEST_REST, REST_PER_TRANSACTION * transactions)
        assert opened - before >= rest - 0.001  # the same clock, read before and after
    assert_store_equals_replay(node, redis)


def rest_after_each_block(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(services.mining.rounds, "REST_PER_TRANSACTION", seconds)
    monkeypatch.setattr(services.mining.rounds, "LONGEST_REST", seconds)


def test_a_request_does_not_wait_for_a_rest(
    valkey: EmbeddedValkey, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    rest_after_each_block(monkeypatch, 60.0)
    with mining(valkey.url, redis, workers=1, difficulty=50, automine=True) as (node, _):
        signer = TestNode(redis, node.settings)
        node.submit([signer.sign(ALICE, 0)])
        eventually(lambda: node.pool.totals() == (0, 0))
        node.submit([signer.sign(ALICE, 1)])  # the desk rests, and looks after it later
        assert node.requests.wait(node.requests.ask(), 10).status == "finished"
        assert node.pool.totals() == (0, 0)


def test_what_arrives_while_a_search_job_ends_is_not_forgotten(
    valkey: EmbeddedValkey, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mining(valkey.url, redis, workers=1, difficulty=50, automine=True) as (node, queue):
        signer = TestNode(redis, node.settings)
        late = signer.sign(ALICE, 1)
        leave = MiningStore.leave

        def arrive(store: MiningStore, worker: str) -> float:
            if node.chain.account(ALICE.address).nonce == 1:
                node.submit([late])  # that worker seems to serve it
            return leave(store, worker)

        monkeypatch.setattr(MiningStore, "leave", arrive)
        node.submit([signer.sign(ALICE, 0)])
        eventually(lambda: node.chain.locate(late.id) is not None)
        assert len(queue.searches) == 2


def test_a_round_that_opens_while_a_search_job_ends_gets_another(
    valkey: EmbeddedValkey, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who opens it counts the job that is about to end, and calls no other worker."""
    with mining(valkey.url, redis, workers=1, difficulty=50, linger=0.0) as (node, queue):
        leave, asked = MiningStore.leave, []

        def ask(store: MiningStore, worker: str) -> float:
            if not asked:
                asked.append(node.requests.ask())
                assert len(queue.searches) == 1
            return leave(store, worker)

        monkeypatch.setattr(MiningStore, "leave", ask)
        first = node.requests.ask()
        eventually(lambda: asked)
        assert [node.requests.wait(name, 10).status for name in (first, *asked)] == ["finished"] * 2


def rounds_of(redis: Redis, node: Node) -> list[str]:
    events = redis.xrange(node.chain.keys.events)
    return [fields[b"data"].split()[0].decode() for _, fields in events if fields[b"type"] == b"round"]


def test_searching_workers_are_told_of_everything_but_transactions(here: TestNode) -> None:
    watch = here.node.searches.watch()
    try:
        here.node.submit([here.sign(ALICE, 0)])
        here.node.requests.ask()
        assert watch.news(20) and watch.opened == here.node.searches.open_round()
    finally:
        watch.close()
    told = [fields for _, fields in here.redis.xrange(here.node.mining.keys.events)]
    news = [fields for _, fields in here.redis.xrange(here.node.mining.keys.search_news)]
    assert news and len(news) < len(told)
    assert news == [fields for fields in told if fields[b"type"] != b"transaction"]


def test_a_job_that_is_delivered_twice_is_harmless(
    valkey: EmbeddedValkey, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(make_spec(difficulty=500), linger=0.0, redis_url=valkey.url, broker_url=valkey.url)
    with connect_for_jobs(valkey.url) as broker:
        here = TestNode(redis, settings)
        registry.register(as_store(broker), settings)
        monkeypatch.setattr(context, "_context", Context(settings, broker, PlainKernel(), SPEED))
        monkeypatch.setattr(
            structlog.contextvars, "bind_contextvars", dict
        )  # a worker's process would end with its job
        request_id = "a" * 32
        here.node.mining.add_request(request_id, time.time(), 64)
        real = build_node(settings, store=as_store(broker), queue=here.queue)
        round_id = real.rounds.ensure_open()
        assert round_id is not None
        with attended(valkey.url, settings, here.queue):
            assert search("node1", round_id) == 1
            assert search("node1", round_id) == 0
            assert search("node1", "0" * 32) == 0
    assert here.node.chain.tip().height == 2
    assert here.node.mining.searchers(time.time()) == 0
    assert request_of(here.node.mining, request_id).status == "finished"
    counters = here.node.mining.counters()
    assert (counters["blocks_mined"], counters["rounds_opened"]) == (1, 1)


def test_a_stopped_search_ends_soon_and_another_finishes(valkey: EmbeddedValkey, redis: Redis) -> None:
    with mining(valkey.url, redis, workers=1, difficulty=2**40) as (node, queue):
        request_id = node.requests.ask()
        round_id = node.mining.situation().open_round
        eventually(lambda: node.mining.round_workers(round_id))
        assert node.mining.searchers(time.time()) == 1
        started = time.monotonic()
        queue.close()
        assert time.monotonic() - started < 10, "the search has no end"
        assert node.mining.searchers(time.time()) == 0
        reported = round_of(node.mining, round_id).hashes
        assert reported > 0
        # A worker that is asked opens it again, and goes on where the claims ended.
        claim = claim_of(node, round_id, "other", 10, Searched())
        assert claim is not None and claim.proofs.start >= reported
        assert node.requests.wait(request_id, 0).status == "started"
