"""What the overview says of a node's state."""

from dataclasses import replace
from typing import cast

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError

from services.errors import NotBegun
from services.ports import Store
from services.store.faults import Finding
from services.store.mining import LONGEST_PROMISE
from services.store.overview import ServerMemory, server_memory
from services.store.searches import Searched
from tests.support.keys import ALICE
from tests.support.nodes import TestNode, make_settings, round_of
from tests.support.searching import claim_of


def test_an_idle_node(here: TestNode) -> None:
    found = here.node.overview()
    assert found.tip == here.node.chain.tip()
    assert (found.pool_size, found.pool_bytes, found.requests, found.searchers) == (0, 0, 0, 0)
    assert found.round is None and found.figures is None and not found.differs


def test_a_node_that_mines(here: TestNode) -> None:
    here.admit(ALICE, 0)
    here.admit(ALICE, 1)
    here.node.requests.ask()
    here.node.requests.ask()
    round_id = here.node.rounds.ensure_open()
    now = here.clock.now()
    for worker, until in ("w1", now + 1), ("w2", now + LONGEST_PROMISE), ("ended", now - 1), ("ahead", now + 3600):
        here.node.mining.linger(worker, until)
    found = here.node.overview()
    assert (found.pool_size, found.pool_bytes) == here.node.pool.totals()
    assert found.requests == 2
    assert found.round == round_of(here.node.mining, round_id)
    assert found.searchers == here.node.mining.searchers(now) == 2


def test_the_figures_of_the_round_and_the_totals_are_of_one_moment(here: TestNode) -> None:
    here.node.requests.ask()
    round_id = str(here.node.rounds.ensure_open())
    assert here.node.overview().figures is not None
    claim_of(here.node, round_id, "anna-1", 1000, Searched())
    here.clock.time += 4
    claim_of(here.node, round_id, "anna-1", 1000, Searched("1", 1000))
    found = here.node.overview()
    figures = found.figures
    assert figures is not None
    assert (figures.hashes, figures.rate) == (1000, 250)
    assert [(worker.name, worker.hashes) for worker in figures.workers] == [("anna-1", 1000)]
    assert found.counters["hashes"] == 1000 and found.counters["rounds_opened"] == 1


def test_a_stored_state_that_is_marked_as_wrong(here: TestNode) -> None:
    here.node.faults.mark("token", [Finding("supply", "", "1", "2")], here.clock.now())
    assert here.node.overview().differs


def test_a_round_that_ended_while_the_overview_was_read(here: TestNode, redis: Redis) -> None:
    here.node.requests.ask()
    round_id = here.node.rounds.ensure_open()
    redis.delete(here.node.chain.keys.round(str(round_id)))
    found = here.node.overview()
    assert found.round is None and found.figures is None


def test_a_store_without_a_chain(redis: Redis) -> None:
    here = TestNode(redis, replace(make_settings(), node="other"))
    redis.flushall()
    with pytest.raises(NotBegun):
        here.node.overview()


def test_the_memory_of_a_server(here: TestNode, redis: Redis) -> None:
    found = here.node.overviews.memory()
    assert found is not None
    assert 100_000 < found.used < found.limit == redis.info("memory")["total_system_memory"]


class Refusing:
    """A server that does not say everything."""

    def __init__(self, said: dict[str, int] | None) -> None:
        self.said = said

    def info(self, section: str) -> dict[str, int]:
        if self.said is None:
            raise NoPermissionError(f"no permissions to run 'info|{section}'")
        return self.said


@pytest.mark.parametrize("said", [None, {}, {"used_memory": 5}, {"used_memory": 5, "maxmemory": 0}])
def test_a_server_that_does_not_tell_its_memory(said: dict[str, int] | None) -> None:
    assert server_memory(cast(Store, Refusing(said))) is None
    assert server_memory(cast(Store, Refusing({"used_memory": 5, "maxmemory": 7}))) == ServerMemory(5, 7)
