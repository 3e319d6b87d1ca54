"""Templates become blocks that validate; replays of one chain agree; every change can be undone."""

import copy
import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.canonical import canonical
from shared.errors import RuleError
from shared.ledger import NO_ACCOUNT, Change, Entries
from shared.proof import proof_hash
from shared.replay import Replay
from shared.transaction import Transaction
from shared.validation import validate
from shared.wire import parse
from tests.support.chains import START, Chain, Json, make_spec
from tests.support.keys import ALICE, BOB, CAROL, MINER

PEOPLE = (ALICE, BOB, CAROL)

# kind, who signs, another, a third, tenths of a coin, thousandths of a coin in fees
step = st.tuples(
    st.sampled_from(["transfer", "approve", "transfer_from"]),
    *[st.sampled_from(PEOPLE)] * 3,
    st.integers(0, 60),
    st.integers(0, 3),
)


def draw(chain: Chain, plan: list[tuple[Any, ...]]) -> list[Json]:
    """The steps of `plan` as transactions, without those that the ledger would refuse."""
    trial = chain.rules.trial()
    trial.learn(Entries(dict(chain.replay.accounts), dict(chain.replay.allowances)))
    accepted = []
    for kind, key, other, third, tenths, fee in plan:
        fields = {"nonce": trial.next_nonce(key.address), "fee": f"0.00{fee}" if fee else "0"}
        amount = f"{tenths // 10}.{tenths % 10}".removesuffix(".0")
        if kind == "transfer":
            item = chain.transfer(key, other, amount, **fields)
        elif kind == "approve":
            item = chain.approve(key, other, amount, **fields)
        else:
            item = chain.transfer_from(key, other, third, amount, **fields)
        try:
            trial.apply(chain.rules.read_request(item))
        except RuleError:
            continue
        accepted.append(item)
    return accepted


def read(chain: Chain, items: list[Json]) -> list[Transaction]:
    return [chain.rules.read_request(item) for item in items]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(plans=st.lists(st.lists(step, max_size=12), min_size=1, max_size=4))
def test_template_proof_block_validate_and_back(plans: list[list[tuple[Any, ...]]]) -> None:
    chain = Chain()
    undo: list[tuple[Any, Change]] = []
    for i, plan in enumerate(plans):
        transactions = read(chain, draw(chain, plan))
        template = chain.rules.template(chain.replay.window, transactions, MINER, START + 10.9 * (i + 1))
        proof = next(n for n in range(10**6) if template.accepts(n))
        assert len(template.seal) == 64 and template.size() <= chain.spec.max_block_bytes
        # through JSON and back, as a peer receives it
        value = parse(canonical(template.with_proof(proof)))
        block = chain.rules.read_block(value)
        assert chain.rules.complete(template, proof) == block and template.text() == canonical(template.fields)
        assert chain.rules.complete(dataclasses.replace(template, body=None), proof) == block
        assert block.canonical == canonical(value) and block.hash == proof_hash(template.seal, proof).hex()
        assert block.size <= template.size()
        change = validate(chain.rules, block, chain.replay.window, chain.replay.known(block), None)
        undo.append((chain.state(), change))
        chain.accept(value)
    chain.verified()
    for (accounts, allowances, supply, *_), change in reversed(undo):
        assert change.after.accounts.keys() == change.before.accounts.keys()
        assert change.after.allowances.keys() == change.before.allowances.keys()
        current = {**chain.replay.accounts, **change.before.accounts}
        chain.replay.accounts = {a: entry for a, entry in current.items() if entry != NO_ACCOUNT}
        spent = {**chain.replay.allowances, **change.before.allowances}
        chain.replay.allowances = {key: amount for key, amount in spent.items() if amount}
        assert (chain.replay.accounts, chain.replay.allowances) == (accounts, allowances)
        assert change.before.supply == supply


def test_two_replays_of_one_chain_are_equal() -> None:
    chain = Chain(make_spec(block_interval=10))
    plan: list[tuple[Any, ...]] = [("transfer", ALICE, BOB, CAROL, 30, 1), ("approve", BOB, CAROL, ALICE, 20, 2)]
    plan += [("transfer_from", CAROL, BOB, ALICE, 10, 0), ("transfer", BOB, BOB, BOB, 5, 0)]
    for i in range(70):
        chain.mine(*draw(chain, plan if i % 7 == 0 else []))
    again = Replay(chain.rules)
    for block in chain.blocks:
        again.add(parse(canonical(block)))
    assert (again.accounts, again.allowances, again.supply) == (
        chain.replay.accounts,
        chain.replay.allowances,
        chain.replay.supply,
    )
    assert again.claim == chain.replay.claim and again.window == chain.replay.window
    assert len(again.window) == chain.rules.window_size < chain.height
    found = chain.verified()
    assert found.supply == 200 * 10**18 + 70 * chain.spec.reward


def test_reading_a_block_changes_nothing_of_it() -> None:
    chain = Chain()
    block = chain.draft(chain.transfer(ALICE, BOB, "1", data="é"))
    before = copy.deepcopy(block)
    chain.accept(block)
    assert block == before


def test_a_replay_begins_with_genesis() -> None:
    chain = Chain()
    with pytest.raises(RuleError) as caught:
        Replay(chain.rules).add(chain.draft())
    assert caught.value.code == "wrong_genesis"


def test_a_template_never_lies_before_the_median() -> None:
    # The clock is an hour slow, but the block has a timestamp that the rules allow.
    chain = Chain()
    for _ in range(12):
        chain.mine()
    template = chain.rules.template(chain.replay.window, [], MINER, START - 3600)
    assert template.fields["timestamp"] == START + 70


def test_a_template_filled_to_its_room_fits_the_block() -> None:
    chain = Chain(make_spec(max_block_bytes=60_000, reward="0.000000000000000001", chain_id=2**53 - 1))
    room = chain.spec.room
    items: list[Json] = []
    while True:
        item = chain.transfer(ALICE, BOB, "0", nonce=len(items), data="x" * 1000, fee="0.000000000000000001")
        room -= len(canonical(item)) + 2  # the separator
        if room < 0:
            break
        items.append(item)
    template = chain.rules.template(chain.replay.window, read(chain, items), MINER, 2**53 - 1)
    assert 58_000 < template.size() <= chain.spec.max_block_bytes
