"""Requests of blocks: refused, answered, waited for, cancelled."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis

from services.connections.servers import as_store
from services.errors import Busy, NotFound
from services.launch.embedded import EmbeddedValkey
from services.node import build_node
from services.store.mining import MiningStore
from services.store.searches import Searched
from tests.integration.mining.rounds import claim, open_round, request, state
from tests.support.clocks import START
from tests.support.keys import ALICE
from tests.support.nodes import TestNode, make_settings
from tests.support.searching import claim_of
from tests.support.stopwatch import Stopwatch
from tests.support.stored import texts
from tests.support.waiting import eventually


@pytest.fixture
def automining(redis: Redis) -> TestNode:
    return TestNode(redis, make_settings(automine=True))


# --- requests ---


def test_requests_beyond_the_limit_are_refused(redis: Redis) -> None:
    here = TestNode(redis, make_settings(max_requests=3))
    for _ in range(3):
        here.node.requests.ask()
    with pytest.raises(Busy) as caught:
        here.node.requests.ask()
    assert caught.value.code == "too_many_requests"
    # One that waits already can be sent again.
    waiting = texts(here.redis.lrange(here.node.mining.keys.requests, 0, -1))
    assert here.node.mining.add_request(waiting[0], START, 3)
    assert here.node.mining.situation().requests == 3


def test_a_peers_block_answers_no_request(here: TestNode) -> None:
    request_id = here.node.requests.ask()
    here.mine()
    assert request(here, request_id).status == "started"
    assert here.node.mining.situation().requests == 1


def test_waiting_for_an_answer_asks_the_store_about_once_a_second(
    here: TestNode, redis: Redis, valkey: EmbeddedValkey
) -> None:
    node = build_node(here.settings, store=as_store(redis), queue=here.queue)  # by the real clock
    request_id = node.requests.ask()
    before = redis.info("commandstats")["cmdstat_hgetall"]["calls"]
    watch = Stopwatch(os.getpid(), *([valkey.pid] if valkey.pid else []))
    assert node.requests.wait(request_id, 0.6).status == "started"
    assert watch.passed() > 0.55 and watch.seconds() < 5
    asked = redis.info("commandstats")["cmdstat_hgetall"]["calls"] - before
    assert 1 <= asked <= 4


def test_whoever_waits_for_an_answer_is_woken_by_it(
    here: TestNode, valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = here.node.requests.ask()
    found = claim(here, open_round(here))
    block = MiningStore.wait_for_answer
    # Without a look once a second, which would find the answer too.
    monkeypatch.setattr(MiningStore, "wait_for_answer", lambda self, request_id, _: block(self, request_id, 20))
    with Redis.from_url(valkey.url) as connection, ThreadPoolExecutor(2) as pool:
        node = build_node(here.settings, store=as_store(connection), queue=here.queue)
        waits = [pool.submit(node.requests.wait, request_id, 20) for _ in range(2)]
        eventually(lambda: here.redis.info("clients")["blocked_clients"] == 2)
        watch = Stopwatch(os.getpid(), *([valkey.pid] if valkey.pid else []))
        assert here.node.rounds.seal(found, 0, "w1") is not None
        assert {wait.result(30).status for wait in waits} == {"finished"}
        assert watch.seconds() < 10, "by the answer, and not at the end of its wait"


# --- cancelling ---


def test_cancelling_ends_the_round_and_its_request_and_the_next_begins(here: TestNode) -> None:
    first, second = here.node.requests.ask(), here.node.requests.ask()
    round_id = open_round(here)
    late = claim(here, round_id)
    here.node.requests.cancel(round_id)
    assert request(here, first).status == "cancelled"
    assert state(here, round_id).state == "cancelled"
    assert claim_of(here.node, round_id, "w1", 10, Searched()) is None
    following = here.node.mining.situation().open_round
    assert following not in ("", round_id)
    # A proof that comes too late completes no block, and takes no answer from the next request.
    assert here.node.rounds.seal(late, 0, "w1") is None
    assert here.node.chain.tip().height == 1
    assert state(here, round_id).state == "cancelled"
    assert request(here, second).status == "started"
    here.node.requests.cancel(round_id)  # again: nothing happens
    assert here.node.mining.situation().open_round == following


def test_a_cancelled_round_is_not_opened_again_by_automining_on_that_tip(automining: TestNode) -> None:
    here = automining
    here.admit(ALICE, 0)
    round_id = open_round(here)
    here.node.requests.cancel(round_id)
    assert here.node.rounds.ensure_open() is None
    here.admit(ALICE, 1)
    assert here.node.rounds.ensure_open() is None
    here.mine()
    assert here.node.rounds.ensure_open() is not None


def test_a_request_overrules_a_held_tip(automining: TestNode) -> None:
    here = automining
    here.admit(ALICE, 0)
    here.node.requests.cancel(open_round(here))
    here.node.requests.ask()
    assert here.node.mining.situation().open_round


def test_a_withdrawn_request_wakes_who_waits_and_leaves_auto_mining_alone(automining: TestNode) -> None:
    here = automining
    job = here.node.requests.ask()
    here.admit(ALICE, 0)
    first = open_round(here)
    assert here.node.requests.withdraw(job).status == "cancelled"
    assert state(here, first).state == "cancelled"
    assert here.node.mining.situation().open_round not in ("", first)  # for the transaction that waits
    here.node.mining.wait_for_answer(job, 30.0)  # the answer is there


def test_withdrawing_everything_holds_the_tip_also_where_only_auto_mining_searches(automining: TestNode) -> None:
    here = automining
    here.admit(ALICE, 0)
    assert open_round(here)
    assert here.node.requests.withdraw_all() == 0
    assert here.node.mining.situation().open_round == "" and here.node.rounds.ensure_open() is None


def test_withdrawing_what_is_unknown_or_nothing_changes_nothing(here: TestNode) -> None:
    job = here.node.requests.ask()
    round_id = open_round(here)
    with pytest.raises(NotFound):
        here.node.requests.withdraw("0" * 32)
    assert here.node.mining.withdraw([], 0.0) == 0
    assert request(here, job).status == "started" and state(here, round_id).state == "open"
