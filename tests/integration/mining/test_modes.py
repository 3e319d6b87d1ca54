"""When a node mines by itself: auto-mining that is switched at run time, blocks at intervals, a round always open."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from services import registry
from services.connections.servers import as_store, connect_for_requests
from services.errors import PolicyError
from services.launch.embedded import EmbeddedValkey
from services.mining.searches import ARRIVAL_SECONDS
from services.store.searches import Claim, Searched
from tests.support.clocks import START, FakeClock
from tests.support.crew import Crew
from tests.support.keys import ALICE, BOB, CAROL
from tests.support.nodes import TestNode, make_settings, mine, request_of, round_of
from tests.support.processes import children
from tests.support.searching import claim_of
from tests.support.specs import make_spec
from tests.support.stored import assert_store_equals_replay
from tests.support.waiting import eventually


def at_intervals(redis: Redis, seconds: float = 2.0, **changes: Any) -> TestNode:
    return TestNode(redis, make_settings(block_time=seconds, **changes))


def always(redis: Redis) -> TestNode:
    return TestNode(redis, make_settings(make_spec(block_interval=15), mine="always"))


def waiting(here: TestNode) -> int:
    return here.node.mining.situation().requests


def height(here: TestNode) -> int:
    return here.node.chain.tip().height


def claim(here: TestNode, round_id: str) -> Claim:
    found = claim_of(here.node, round_id, "w1", 10, Searched())
    assert found is not None
    return found


# --- at intervals ---


def test_a_block_is_asked_for_when_the_interval_is_over(redis: Redis) -> None:
    here = at_intervals(redis)
    beat = here.node.modes.beat
    assert (beat(), waiting(here)) == (2.0, 0)
    here.clock.time += 1.75
    assert (beat(), waiting(here)) == (0.25, 0)
    here.clock.time += 0.5  # a little late: the next interval is as much shorter
    assert (beat(), waiting(here)) == (1.75, 1)
    assert here.queue.searches  # a round is open, and workers are called
    assert mine(here.node).index == 2 and waiting(here) == 0
    here.clock.time += 1.75
    beat()
    assert mine(here.node).index == 3
    assert_store_equals_replay(here.node, redis)


def test_there_is_one_request_per_interval_however_many_tickers_beat(valkey: EmbeddedValkey, redis: Redis) -> None:
    here = at_intervals(redis)
    here.node.modes.beat()
    for round_number in range(1, 6):
        here.clock.time += 2.0

        def beats(_: int) -> None:
            with connect_for_requests(valkey.url) as own:
                modes = here.build(own).modes
                for _ in range(20):
                    modes.beat()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(beats, range(4)))
        assert waiting(here) == 1
        mine(here.node)
        assert height(here) == 1 + round_number


def test_requests_do_not_pile_up_and_missed_blocks_are_not_caught_up(redis: Redis) -> None:
    here = at_intervals(redis)
    here.node.modes.beat()
    for _ in range(50):  # no worker answers
        here.clock.time += 2.0
        here.node.modes.beat()
    assert waiting(here) == 1
    mine(here.node)
    here.clock.time += 1000.0
    assert here.node.modes.beat() == 2.0
    assert waiting(here) == 1
    mine(here.node)
    here.clock.time += 1.9
    assert here.node.modes.beat() == pytest.approx(0.1)
    assert (waiting(here), height(here)) == (0, 3)


def test_the_requests_of_others_are_left_their_places(redis: Redis) -> None:
    here = at_intervals(redis, max_requests=2)
    here.node.modes.beat()
    asked = [here.node.requests.ask() for _ in range(2)]
    here.clock.time += 2.0
    assert here.node.modes.beat() == 2.0
    assert waiting(here) == 2
    mine(here.node)
    assert request_of(here.node.mining, asked[0]).status == "finished"


def test_a_clock_that_is_set_back_costs_one_interval(redis: Redis) -> None:
    here = at_intervals(redis)
    here.node.modes.beat()
    here.clock.time -= 1000.0
    assert here.node.modes.beat() == 2.0
    here.clock.time += 2.0
    here.node.modes.beat()
    assert waiting(here) == 1


def test_nothing_is_asked_for_while_the_stored_state_is_wrong(redis: Redis) -> None:
    here = at_intervals(redis)
    here.node.modes.beat()
    redis.hset(here.node.chain.keys.fault, "sentence", "The supply differs.")
    here.clock.time += 2.0
    assert here.node.modes.beat() == 2.0
    assert waiting(here) == 0


def test_without_an_interval_nothing_is_asked_for(here: TestNode) -> None:
    assert here.node.modes.beat() is None
    here.clock.time += 1000.0
    assert here.node.modes.beat() is None
    assert waiting(here) == 0


# --- at run time ---


def test_what_is_set_holds_for_all_until_the_node_starts_again(redis: Redis) -> None:
    here = TestNode(redis, make_settings(automine=True))
    other = here.build(redis)
    assert (other.modes.automine(), other.modes.interval()) == (True, 0)
    here.node.modes.set_interval(5)
    assert (other.modes.automine(), other.modes.interval()) == (False, 5)
    here.admit(ALICE, 0)
    assert other.rounds.ensure_open() is None and other.rounds.rest() == 0
    here.node.modes.set_automine(True)  # mixed
    assert (other.modes.automine(), other.modes.interval()) == (True, 5)
    assert here.node.mining.situation().open_round  # for the transaction that waited
    assert len(mine(here.node).transactions) == 2
    here.clock.time += 5
    other.modes.beat()
    assert len(mine(here.node).transactions) == 1
    here.node.modes.set_interval(0)
    assert (other.modes.automine(), other.modes.interval(), other.modes.beat()) == (True, 0, None)
    here.node.modes.set_automine(False)
    assert not other.modes.automine()

    other.begin()
    assert (here.node.modes.automine(), here.node.modes.interval()) == (True, 0)
    assert not redis.exists(here.node.chain.keys.modes, here.node.chain.keys.pulse)


def test_an_interval_is_counted_from_when_it_is_set(redis: Redis) -> None:
    here = at_intervals(redis, 2.0)
    here.node.modes.beat()
    here.clock.time += 1.5
    here.node.modes.set_interval(3)
    assert here.node.modes.beat() == 3.0
    here.clock.time += 2.5
    assert here.node.modes.beat() == 0.5


def test_a_transaction_is_mined_as_soon_as_auto_mining_is_on(here: TestNode) -> None:
    here.node.modes.set_automine(True)
    here.node.submit([here.sign(ALICE, 0)])
    assert here.node.mining.situation().open_round
    mine(here.node)
    here.node.modes.set_automine(False)
    here.node.submit([here.sign(ALICE, 1)])
    assert here.node.mining.situation().open_round == ""


def test_where_the_difficulty_adapts_an_interval_is_refused(redis: Redis) -> None:
    here = always(redis)
    with pytest.raises(PolicyError, match="the difficulty makes the time between blocks") as refusal:
        here.node.modes.set_interval(1)
    assert refusal.value.code == "paced_by_difficulty"
    here.node.modes.set_interval(0)
    assert here.node.modes.interval() == 0


def test_a_node_without_a_reward_address_mines_at_no_interval(redis: Redis) -> None:
    here = TestNode(redis, make_settings(reward_address=""))
    with pytest.raises(PolicyError, match="QUARRY_REWARD_ADDRESS"):
        here.node.modes.set_interval(1)
    here.node.modes.set_automine(True)
    here.admit(ALICE, 0)
    assert here.node.rounds.ensure_open() is None


def test_a_production_chain_does_not_look_for_what_was_set(redis: Redis) -> None:
    here = TestNode(redis, make_settings(make_spec(development=False)))
    redis.hset(here.node.chain.keys.modes, mapping={"automine": "1", "interval": "5"})
    assert (here.node.modes.automine(), here.node.modes.interval()) == (False, 0)


# --- always ---


def test_one_round_is_always_open(redis: Redis) -> None:
    here = always(redis)
    here.node.rounds.reconcile()
    for number in range(2, 6):
        round_id = here.node.rounds.ensure_open()
        assert round_id and round_of(here.node.mining, round_id).height == number
        here.clock.time += 15
        assert mine(here.node).index == number
        assert here.node.rounds.rest() == 0
    assert waiting(here) == 0
    assert_store_equals_replay(here.node, redis)


def test_arrived_transactions_get_a_new_template_once_it_is_some_seconds_old(redis: Redis) -> None:
    here = always(redis)
    round_id = here.node.rounds.ensure_open()
    assert round_id
    here.clock.time += ARRIVAL_SECONDS + 1
    assert claim(here, round_id).version == "1"  # nothing has arrived
    arrived = here.admit(ALICE, 0)
    renewed = claim(here, round_id)
    assert renewed.version == "2"
    later = here.admit(BOB, 0, recipient=CAROL.address)
    here.clock.time += ARRIVAL_SECONDS - 1
    assert claim(here, round_id).version == "2"
    here.clock.time += 2
    newest = claim(here, round_id)
    assert (newest.version, claim(here, round_id).version) == ("3", "3")
    accepted = here.node.rounds.seal(newest, 0, "w1")
    assert accepted is not None
    assert {item.id for item in accepted.block.transactions[1:]} == {arrived.id, later.id}


def test_rounds_that_are_asked_for_keep_their_template_when_transactions_arrive(here: TestNode) -> None:
    here.node.requests.ask()
    round_id = here.node.rounds.ensure_open()
    assert round_id
    here.admit(ALICE, 0)
    here.clock.time += ARRIVAL_SECONDS + 1
    assert claim(here, round_id).version == "1"


def test_a_round_that_is_cancelled_or_lost_is_followed_by_another(redis: Redis) -> None:
    here = always(redis)
    first = here.node.rounds.ensure_open()
    assert first
    here.node.requests.cancel(first)
    second = here.node.mining.situation().open_round
    assert second not in ("", first)
    redis.delete(here.node.chain.keys.open_round, here.node.chain.keys.round(second))
    here.queue.searches.clear()
    here.node.rounds.reconcile()
    assert here.node.mining.situation().open_round not in ("", first, second)
    assert here.queue.searches
    here.mine()  # a peer's block: the round goes on with another parent
    round_id = here.node.mining.situation().open_round
    assert claim(here, round_id).version == "2"
    assert round_of(here.node.mining, round_id).parent == here.node.chain.tip().hash


def test_without_a_reward_address_no_round_is_open(redis: Redis) -> None:
    here = TestNode(redis, make_settings(make_spec(block_interval=15), mine="always", reward_address=""))
    assert here.node.rounds.ensure_open() is None


def test_blocks_keep_coming_from_real_workers_and_after_one_was_killed(
    valkey: EmbeddedValkey, redis: Redis, tmp_path: Path
) -> None:
    """Nothing asks for a block. Transactions get in. After the only worker was killed, another one goes on."""
    spec = make_spec(block_interval=1, difficulty=64, genesis_timestamp=START)
    settings = make_settings(spec, mine="always", redis_url=valkey.url, broker_url=valkey.url)
    here = TestNode(redis, settings, clock=FakeClock(time.time()))
    node = here.node
    registry.register(as_store(redis), settings)
    with Crew(tmp_path, valkey.url, spec, mine="always", min_fee="0", nonces_ahead="64") as crew:
        crew.ticker()
        worker = crew.worker()
        eventually(lambda: node.chain.tip().height >= 4, 30, "blocks that nobody asked for")
        sent = here.sign(ALICE, 0)
        here.node.submit([sent])
        eventually(lambda: node.chain.locate(sent.id) is not None, 30, "the transaction in a block")
        for pid in [*children(worker.pid), worker.pid]:
            with suppress(ProcessLookupError):  # a search that has just ended
                os.kill(pid, signal.SIGKILL)
        worker.wait(10)
        crew.worker(name="second")
        before = node.chain.tip().height
        eventually(lambda: node.chain.tip().height >= before + 3, 40, "blocks of another worker")
    assert node.mining.situation().requests == 0
