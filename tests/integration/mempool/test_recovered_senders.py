"""A sender that was recovered when its transaction was admitted is not recovered again; all else is checked again."""

import json
from typing import Any

import pytest
from redis import Redis

import shared.ethereum.raw
from shared.block import Block
from shared.errors import RuleError
from shared.ethereum import address_of_private_key, sign_raw
from shared.transaction import Transaction, read_transaction
from tests.support.keys import ALICE, BOB, CAROL
from tests.support.nodes import TestNode, admit_one, make_settings
from tests.support.specs import make_spec

KEY = b"\x11" * 32
SENDER = address_of_private_key(KEY)


@pytest.fixture
def here(redis: Redis) -> TestNode:
    return TestNode(redis, make_settings(make_spec(allocations={SENDER: "1000", ALICE.address: "1000"})))


def raw(here: TestNode, nonce: int) -> Transaction:
    return here.node.rules.read_raw(
        sign_raw(
            private_key=KEY,
            chain_id=here.spec.chain_id,
            nonce=nonce,
            to=BOB.address,
            gas=21_000,
            gas_price=1,
            value=10**18,
        )
    )


def never(*args: Any) -> str:
    raise AssertionError("a sender was recovered")


def accept(here: TestNode, block: Block) -> str | None:
    """The rule that refuses `block`; None if it was appended."""
    try:
        here.node.acceptor.accept(block)
    except RuleError as refusal:
        return refusal.code
    return None


def test_the_store_tells_the_senders_of_what_waits(here: TestNode) -> None:
    waiting, other, absent = raw(here, 0), here.sign(ALICE, 0), here.sign(CAROL, 0)
    for transaction in (waiting, other):
        admit_one(here.node.mempool, transaction)
    asked = [absent.id, waiting.id, other.id]
    assert here.node.pool.senders(asked) == {waiting.id: SENDER, other.id: ALICE.address}
    assert here.node.pool.senders([]) == {}


def test_a_block_of_waiting_transactions_recovers_nothing(here: TestNode, monkeypatch: pytest.MonkeyPatch) -> None:
    transactions = [raw(here, 0), raw(here, 1)]
    for transaction in transactions:
        admit_one(here.node.mempool, transaction)
    monkeypatch.setattr(shared.ethereum.raw, "_recover", never)
    assert accept(here, here.block(*transactions)) is None


def test_what_does_not_wait_is_recovered(here: TestNode, monkeypatch: pytest.MonkeyPatch) -> None:
    transactions = [raw(here, 0), raw(here, 1)]
    admit_one(here.node.mempool, transactions[0])
    block = here.block(*transactions)
    monkeypatch.setattr(shared.ethereum.raw, "_recover", never)
    with pytest.raises(AssertionError, match="recovered"):
        accept(here, block)


@pytest.mark.parametrize(
    ("field", "value"),
    [("amount", "2"), ("fee", "9"), ("recipient", CAROL.address), ("sender", ALICE.address), ("nonce", 7)],
)
def test_a_block_that_changes_a_waiting_transaction_is_refused(here: TestNode, field: str, value: object) -> None:
    transaction = raw(here, 0)
    admit_one(here.node.mempool, transaction)
    changed = read_transaction({**transaction.fields, field: value})
    assert changed.id == transaction.id
    assert accept(here, here.block(changed)) == "fields_differ"
    assert here.node.chain.tip().height == 1


def test_an_entry_that_was_altered_in_the_store_is_refused(here: TestNode) -> None:
    """Only the text, as by a damaged disk: the sender before it is what was recovered."""
    transaction = raw(here, 0)
    admit_one(here.node.mempool, transaction)
    entries = here.node.pool.keys.entries
    head, _, text = here.node.pool._redis.hget(entries, transaction.id).partition(b"\n")
    changed = json.dumps({**json.loads(text), "sender": ALICE.address}, separators=(",", ":"), sort_keys=True)
    here.node.pool._redis.hset(entries, transaction.id, head + b"\n" + changed.encode())
    block = here.block(read_transaction(json.loads(changed)))
    assert accept(here, block) == "fields_differ"


def test_the_signature_of_the_ledgers_own_scheme_is_verified_again(here: TestNode) -> None:
    """Its id does not depend on the signature, so that a waiting transaction says nothing of another signature."""
    transaction = here.admit(ALICE, 0)
    forged = read_transaction({**transaction.fields, "signature": "00" * 64})
    assert forged.id == transaction.id
    assert accept(here, here.block(forged)) == "bad_signature"
