"""Auto-mining: which transactions open a round, and how long the desk rests between two."""

import pytest
from redis import Redis

from services.mining.rounds import LONGEST_REST, REST_PER_TRANSACTION
from services.store.searches import Searched
from tests.integration.mining.rounds import claim, open_round
from tests.support.keys import ALICE
from tests.support.nodes import TestNode, make_settings


@pytest.fixture
def automining(redis: Redis) -> TestNode:
    return TestNode(redis, make_settings(automine=True))


def test_automining_wants_a_transaction_that_can_be_mined(automining: TestNode) -> None:
    here = automining
    assert here.node.rounds.ensure_open() is None
    here.admit(ALICE, 1)  # waits for a gap
    assert here.node.rounds.ensure_open() is None
    here.admit(ALICE, 0)
    mine = claim(here, open_round(here))
    accepted = here.node.rounds.seal(mine, 0, "w1")
    assert accepted is not None and len(accepted.block.transactions) == 3
    assert here.node.rounds.ensure_open() is None


def test_a_transaction_opens_no_round_while_the_desk_rests(automining: TestNode) -> None:
    here = automining
    here.node.submit([here.sign(ALICE, nonce) for nonce in range(20)])
    assert here.node.searches.hand_in(claim(here, open_round(here)), 0, "w1", Searched())
    before = here.clock.now()
    here.node.desk.work(0.0)
    assert here.node.chain.tip().height == 2 and here.node.rounds.rest() > 0
    here.node.submit([here.sign(ALICE, 20)])
    assert not here.node.mining.situation().open_round
    here.node.desk.work(1.0)
    assert here.node.mining.situation().open_round and here.clock.now() >= before + 20 * REST_PER_TRANSACTION
    assert not here.redis.exists(here.node.mining.keys.resting)


def test_where_the_desk_dies_in_its_rest_a_transaction_opens_a_round_after_a_second(automining: TestNode) -> None:
    here = automining
    here.admit(ALICE, 0)
    assert here.node.rounds.seal(claim(here, open_round(here)), 0, "w1")
    here.node.submit([here.sign(ALICE, 1)])
    assert not here.node.mining.situation().open_round
    here.clock.time += 1
    here.node.submit([here.sign(ALICE, 2)])
    assert here.node.mining.situation().open_round and here.queue.searches


def test_a_rest_by_a_clock_that_was_ahead_is_not_believed_in(automining: TestNode) -> None:
    here = automining
    here.redis.set(here.node.mining.keys.resting, str(here.clock.now() + 3600))
    here.node.mining.linger("w1", here.clock.now() + 3600)
    assert here.node.mining.searchers(here.clock.now()) == 0
    here.node.submit([here.sign(ALICE, 0)])
    assert here.node.mining.situation().open_round and here.queue.searches


def test_automining_rests_in_proportion_to_what_the_last_block_held(automining: TestNode) -> None:
    here = automining
    for nonce, transactions in (0, 1), (1, 20), (21, 60):
        here.node.mempool.admit_many([here.sign(ALICE, nonce + i) for i in range(transactions)])
        round_id = open_round(here)
        assert here.node.rounds.seal(claim(here, round_id), 0, "w1")
        rest = min(transactions * REST_PER_TRANSACTION, LONGEST_REST)
        assert here.node.rounds.rest() == pytest.approx(rest)
        here.clock.time += 0.001
        assert here.node.rounds.rest() == pytest.approx(rest - 0.001, abs=1e-6)
        here.clock.time -= 5  # the clock of the worker that sealed it is ahead
        assert here.node.rounds.rest() == pytest.approx(rest)
        here.clock.time += 10
        assert here.node.rounds.rest() == 0.0


def test_nobody_rests_while_a_request_waits(automining: TestNode) -> None:
    here = automining
    here.admit(ALICE, 0)
    for _ in range(2):
        here.node.requests.ask()
    assert here.node.rounds.seal(claim(here, open_round(here)), 0, "w1")
    assert here.node.rounds.rest() == 0.0  # the second still waits
    assert here.node.rounds.seal(claim(here, open_round(here)), 0, "w1")
    here.admit(ALICE, 1)
    assert here.node.rounds.seal(claim(here, open_round(here)), 0, "w1")
    assert here.node.rounds.rest() > 0.0


def test_nobody_rests_without_automining(here: TestNode) -> None:
    here.admit(ALICE, 0)
    here.node.requests.ask()
    round_id = open_round(here)
    assert here.node.rounds.seal(claim(here, round_id), 0, "w1")
    assert here.node.rounds.rest() == 0.0


def test_without_automining_only_requests_open_rounds(here: TestNode) -> None:
    here.admit(ALICE, 0)
    assert here.node.rounds.ensure_open() is None
