"""What tests of rounds ask and do."""

from services.mining.searches import REFRESH_SECONDS
from services.store.rounds import MiningRequest, Round
from services.store.searches import Claim, Searched
from tests.support.nodes import TestNode, round_of
from tests.support.searching import claim_of


def claim(
    here: TestNode, round_id: str, wanted: int = 10, worker: str = "w1", searched: Searched | None = None
) -> Claim:
    found = claim_of(here.node, round_id, worker, wanted, searched or Searched())
    assert found is not None
    return found


def open_round(here: TestNode) -> str:
    round_id = here.node.rounds.ensure_open()
    assert round_id
    return round_id


def state(here: TestNode, round_id: str) -> Round:
    return round_of(here.node.mining, round_id)


def request(here: TestNode, request_id: str) -> MiningRequest:
    return here.node.requests.wait(request_id, 0)


def renewals(here: TestNode, round_id: str, count: int) -> list[Claim]:
    """Claims of `count` templates that follow one another on the same tip."""
    found = []
    for _ in range(count):
        found.append(claim(here, round_id))
        here.clock.time += REFRESH_SECONDS + 1
    return found
