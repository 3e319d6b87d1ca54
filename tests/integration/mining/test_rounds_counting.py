"""What is counted of a search, which workers are called for one, and where rewards go."""

import pytest
from redis import Redis

from services.errors import PolicyError
from services.mining.searches import HEARTBEAT_SECONDS
from services.store.rounds import RoundWorker
from services.store.searches import Searched
from tests.integration.mining.rounds import claim, open_round, renewals, state
from tests.support.clocks import START
from tests.support.keys import ALICE, BOB
from tests.support.nodes import TestNode, make_settings
from tests.support.searching import claim_of


@pytest.fixture
def automining(redis: Redis) -> TestNode:
    return TestNode(redis, make_settings(automine=True))


# --- counting ---


def test_a_report_of_one_hash_counts(here: TestNode) -> None:
    """The first proof of a claim may be the one."""
    here.node.requests.ask()
    round_id = open_round(here)
    found = claim(here, round_id)
    here.node.searches.report(round_id, "w1", Searched(found.version, 1))
    assert state(here, round_id).hashes == 1
    assert here.node.mining.round_workers(round_id)["w1"].hashes == 1
    assert here.node.mining.counters()["hashes"] == 1
    assert here.node.rounds.seal(found, found.proofs[0], "w1") is not None
    here.node.searches.report(round_id, "w1", Searched(found.version, 1))
    assert (state(here, round_id).hashes, state(here, round_id).wasted) == (2, 1)


def test_hashes_add_up_and_vain_ones_are_known(here: TestNode) -> None:
    here.node.requests.ask()
    round_id = open_round(here)
    first = claim(here, round_id, worker="w1")
    here.clock.time += 1
    other = claim(here, round_id, worker="w2")
    second = claim(here, round_id, worker="w1", searched=Searched(first.version, 10))
    here.clock.time += 1
    here.node.searches.report(round_id, "w1", Searched(second.version, 3))
    assert here.node.rounds.seal(second, second.proofs[2], "w1") is not None
    # The other learns that it was too late: its hashes count, as wasted.
    assert claim_of(here.node, round_id, "w2", 10, Searched(other.version, 10)) is None
    found = state(here, round_id)
    assert (found.hashes, found.wasted) == (23, 10)
    workers = here.node.mining.round_workers(round_id)
    assert {name: worker.hashes for name, worker in workers.items()} == {"w1": 13, "w2": 10}
    assert sum(worker.hashes for worker in workers.values()) == found.hashes
    assert workers["w1"] == RoundWorker(13, since=START, last=START + 2)
    counters = here.node.mining.counters()
    assert (counters["hashes"], counters["wasted_hashes"]) == (23, 10)


def test_hashes_for_a_template_of_before_are_not_wasted_while_it_counts(here: TestNode) -> None:
    here.node.requests.ask()
    round_id = open_round(here)
    old = renewals(here, round_id, 2)[0]
    claim(here, round_id, searched=Searched(old.version, 10))
    assert (state(here, round_id).hashes, state(here, round_id).wasted) == (10, 0)
    here.node.rounds.renew()
    claim(here, round_id, searched=Searched(old.version, 10))
    assert (state(here, round_id).hashes, state(here, round_id).wasted) == (20, 10)


def test_hashes_for_a_template_of_old_are_wasted(here: TestNode) -> None:
    here.node.requests.ask()
    round_id = open_round(here)
    old = claim(here, round_id)
    here.mine()
    claim(here, round_id, worker="w2")  # renews
    claim(here, round_id, searched=Searched(old.version, 10))
    assert (state(here, round_id).hashes, state(here, round_id).wasted) == (10, 10)


# --- calling workers ---


def test_workers_are_called_for_as_many_as_do_not_search(here: TestNode) -> None:
    here.queue.workers = 3
    here.node.requests.ask()
    round_id = open_round(here)
    assert here.queue.searches == [(round_id, 3)]
    here.node.searches.linger("w1", 5)
    here.node.rounds.call_workers(round_id, 2)
    assert here.queue.searches[1:] == [(round_id, 2)]
    for name in ("w2", "w3"):
        here.node.searches.linger(name, 5)
    here.node.rounds.call_workers(round_id, 2)
    assert len(here.queue.searches) == 2
    here.clock.time += 6
    here.queue.workers = 0
    here.node.rounds.call_workers(round_id, 2)
    assert here.queue.searches[2:] == [(round_id, 1)]  # for the next worker


def test_the_reconciler_calls_only_when_nobody_searches(here: TestNode) -> None:
    here.node.rounds.reconcile()
    assert here.queue.searches == []
    here.node.mining.add_request("a" * 32, START, 64)
    here.node.rounds.reconcile()  # opens the round
    round_id = open_round(here)
    here.queue.searches.clear()
    claim(here, round_id)
    here.node.rounds.reconcile()
    assert here.queue.searches == []
    here.clock.time += HEARTBEAT_SECONDS + 0.1
    here.node.rounds.reconcile()
    assert here.queue.searches == [(round_id, 1)]


def test_the_reward_goes_where_the_settings_say(redis: Redis) -> None:
    here = TestNode(redis, make_settings(reward_address=BOB.address))
    here.node.requests.ask()
    accepted = here.node.rounds.seal(claim(here, open_round(here)), 0, "w1")
    assert accepted is not None and accepted.block.transactions[0].recipient == BOB.address


def test_a_round_whose_transactions_a_peer_has_mined_ends_instead_of_mining_nothing(automining: TestNode) -> None:
    automining.admit(ALICE, 0)
    round_id = open_round(automining)
    automining.mine_pool()  # as a peer's block would come: the round knows nothing of it
    assert claim_of(automining.node, round_id, "w1", 10, Searched()) is None
    assert state(automining, round_id).state == "cancelled"
    assert automining.node.rounds.ensure_open() is None


def test_a_round_that_somebody_asked_for_goes_on_after_a_peers_block(automining: TestNode) -> None:
    automining.admit(ALICE, 0)
    round_id = open_round(automining)
    automining.node.requests.ask()
    automining.mine_pool()
    assert claim(automining, round_id).round_id == round_id


def test_a_node_without_a_reward_address_says_so(redis: Redis) -> None:
    here = TestNode(redis, make_settings(reward_address=""))
    with pytest.raises(PolicyError, match="QUARRY_REWARD_ADDRESS"):
        here.node.requests.ask()
