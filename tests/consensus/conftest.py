"""Two chains to break: one of few blocks, one whose ledger is in use."""

import pytest

from tests.support.chains import Chain, make_spec
from tests.support.keys import ALICE, BOB, CAROL


@pytest.fixture(params=[1, 5], ids=["at height 2", "at height 6"])
def chain(request: pytest.FixtureRequest) -> Chain:
    """A valid chain of 1 or 5 blocks, so that the broken block is at height 2 or 6."""
    chain = Chain(make_spec())
    for _ in range(1, request.param):
        chain.mine(chain.transfer(ALICE, CAROL, "1"))
    return chain


@pytest.fixture
def used() -> Chain:
    """Alice has 90 coins minus fees; Bob has 5 and may spend 3 of Alice's; Carol has 5."""
    chain = Chain()
    chain.mine(chain.transfer(ALICE, BOB, "5", fee="0.1"))
    chain.mine(chain.transfer(ALICE, CAROL, "5"))
    chain.mine(chain.approve(ALICE, BOB, "3"))
    return chain
