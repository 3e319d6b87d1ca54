"""Chains that hold what a later rule forbids: they are refused by name. The others are checked once."""

from collections.abc import Callable

import pytest
from redis import Redis

from services.errors import WrongChain
from services.store.chain import ChainStore
from shared.addresses import ZERO_ADDRESS
from shared.chain_spec import Token
from shared.transaction import Transaction
from tests.support.keys import ALICE, BOB
from tests.support.nodes import TestNode, make_settings
from tests.support.specs import make_spec
from tests.support.stored import dump

LOST = {"the zero address": ZERO_ADDRESS, "the token": Token().address}
WAYS: dict[str, Callable[[TestNode, str], list[Transaction]]] = {
    "a transfer": lambda here, to: [here.sign(ALICE, 0, recipient=to)],
    "a transfer of nothing": lambda here, to: [here.sign(ALICE, 0, recipient=to, amount="0")],
    "an approval": lambda here, to: [here.sign(ALICE, 0, type="approve", recipient=to)],
    "an approval of nothing": lambda here, to: [here.sign(ALICE, 0, type="approve", recipient=to, amount="0")],
    "among others": lambda here, to: [here.sign(ALICE, 0), here.sign(ALICE, 1, recipient=to), here.sign(BOB, 0)],
}


@pytest.fixture
def as_earlier(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let this process make blocks as the version before the rule did, until the returned function is called."""
    monkeypatch.setattr("shared.ledger.check_recipient", lambda transaction, spec: None)
    return monkeypatch.undo


def refused(here: TestNode, height: int, address: str) -> None:
    before = dump(here.redis)
    for _ in range(2):
        with pytest.raises(WrongChain, match=f"Block {height} .*bad_recipient.*{address}"):
            here.node.begin()
    assert dump(here.redis) == before


@pytest.mark.parametrize("to", LOST.values(), ids=LOST)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_such_a_chain_is_refused(
    here: TestNode, as_earlier: Callable[[], None], way: Callable[[TestNode, str], list[Transaction]], to: str
) -> None:
    here.mine()
    here.mine(*way(here, to))
    here.mine()
    as_earlier()
    refused(here, 3, to)


@pytest.mark.parametrize("to", LOST.values(), ids=LOST)
def test_such_a_reward_is_refused(here: TestNode, as_earlier: Callable[[], None], to: str) -> None:
    here.mine(recipient=to)
    as_earlier()
    refused(here, 2, to)


def test_it_is_looked_for_through_a_long_history(
    here: TestNode, as_earlier: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    # One bad transfer long ago, and since then the address was only named as an owner, which is allowed.
    here.mine(here.sign(ALICE, 0, recipient=ZERO_ADDRESS))
    as_earlier()
    for nonce in range(1, 8):
        here.mine(here.sign(ALICE, nonce, type="transfer_from", owner=ZERO_ADDRESS, amount="0"))
    monkeypatch.setattr("services.chain.earlier_chains._PAGE", 3)
    refused(here, 2, ZERO_ADDRESS)


def test_any_other_chain_is_looked_at_once(here: TestNode, monkeypatch: pytest.MonkeyPatch) -> None:
    here.mine(here.sign(ALICE, 0, type="transfer_from", owner=ZERO_ADDRESS, amount="0"))
    here.node.begin()
    monkeypatch.setattr(ChainStore, "history", lambda *_, **__: pytest.fail("it was looked at already"))
    here.node.begin()


def test_under_the_tutorials_rules_anything_is_a_recipient(redis: Redis) -> None:
    spec = make_spec(rules="tutorial", allocations={}, difficulty=65536)
    here = TestNode(redis, make_settings(spec, reward_address=ZERO_ADDRESS))
    here.node.begin()
    here.mine(recipient=ZERO_ADDRESS)
    here.node.begin()


def test_what_waits_since_an_earlier_version_is_dropped_with_its_reason(
    here: TestNode, as_earlier: Callable[[], None]
) -> None:
    transaction = here.admit(ALICE, 0, recipient=ZERO_ADDRESS)
    as_earlier()
    here.mine_pool()
    assert here.node.chain.transaction_ids(here.node.chain.tip().hash)[1:] == []
    record = here.node.pool.record(transaction.id)
    assert record is not None and record["status"] == "dropped" and record["reason"].startswith("bad_recipient: ")
