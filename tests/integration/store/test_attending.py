"""Who sits at the desk of a node: its ticker, or a server process while no ticker lives."""

import threading

import pytest

from services.attending import Attendant
from services.connections.servers import RedisError
from services.store.searches import Searched
from tests.support.nodes import TestNode
from tests.support.said import listen
from tests.support.searching import claim_of


@pytest.fixture
def stop() -> threading.Event:
    """Set, so that no turn waits a second."""
    found = threading.Event()
    found.set()
    return found


def hand_in(here: TestNode) -> None:
    here.node.requests.ask()
    claim = claim_of(here.node, here.node.searches.open_round(), "w1", 10, Searched())
    assert claim is not None and here.node.searches.hand_in(claim, 0, "w1", Searched())


def test_a_server_process_seals_only_while_nobody_leads(here: TestNode, stop: threading.Event) -> None:
    ticker, server = (Attendant(here.build(here.redis), stop, leads=leads) for leads in (True, False))
    hand_in(here)
    here.node.desk.inbox.attend(60)
    server.turn()
    assert here.node.chain.tip().height == 1
    ticker.turn()
    assert here.node.chain.tip().height == 2
    assert 0 < here.redis.ttl(here.node.desk.inbox.keys.desk) <= 3
    here.redis.delete(here.node.desk.inbox.keys.desk)  # it has expired: the ticker was killed
    hand_in(here)
    server.turn()
    assert here.node.chain.tip().height == 3
    assert not here.redis.exists(here.node.desk.inbox.keys.desk), "a server process does not lead"


def test_a_store_that_is_away_is_said_once_and_waited_for(
    here: TestNode, stop: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    attendant = Attendant(here.node, stop, leads=True)
    hand_in(here)

    def away(_: float) -> bool:
        raise RedisError("away")

    said = listen(monkeypatch, "services.attending._log")
    with monkeypatch.context() as patch:
        patch.setattr(here.node.desk, "work", away)
        attendant.turn()
        attendant.turn()
    assert [entry["event"] for entry in said] == ["desk_interrupted"]
    attendant.turn()
    assert here.node.chain.tip().height == 2
