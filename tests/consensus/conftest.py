"""A chain to break: right behind genesis, and a few blocks up with a ledger that is in use."""

import pytest

from tests.support.chains import Chain, make_spec
from tests.support.keys import ALICE, BOB, CAROL


@pytest.fixture(params=[1, 5], ids=["at height 2", "at height 6"])
def chain(request: pytest.FixtureRequest) -> Chain:
    """A valid chain of that many blocks; the broken block comes next."""
    chain = Chain(make_spec())
    for _ in range(1, request.param):
        chain.mine(chain.transfer(ALICE, CAROL, "1"))
    return chain


@pytest.fixture
def used() -> Chain:
    """Alice has 90 coins less fees, Bob 5 and leave to spend 3 of Alice's, Carol 5."""
    chain = Chain()
    chain.mine(chain.transfer(ALICE, BOB, "5", fee="0.1"))
    chain.mine(chain.transfer(ALICE, CAROL, "5"))
    chain.mine(chain.approve(ALICE, BOB, "3"))
    return chain
