"""The ledger: supply conserved, changes undone, failures without trace, checks in their order."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.amounts import MAX_AMOUNT
from shared.chain_spec import ChainSpec
from shared.errors import RuleError
from shared.ledger import NO_ACCOUNT, Account, Entries, Ledger, Trial, apply_block, touched
from shared.transaction import Transaction

SPEC = ChainSpec(name="test", chain_id=7, genesis_timestamp=0, reward=10)
A, B, C = "alice", "bob", "carol"  # the ledger never looks into an address
PEOPLE = (A, B, C)
START = Entries({A: Account(100), B: Account(50)}, {(A, B): MAX_AMOUNT, (B, C): 20, (A, A): 5}, 150)


def make(kind: str, sender: str, recipient: str, amount: int = 0, **changes: Any) -> Transaction:
    plain = Transaction("", kind, SPEC.chain_id, 0, sender, recipient, amount, 0, None, {}, b"")
    return replace(plain, **changes)


def reward(amount: int = 10, recipient: str = C) -> Transaction:
    return make("reward", "0", recipient, amount)


def apply(transaction: Transaction, known: Entries = START) -> Entries:
    """What changed."""
    ledger = Ledger(known)
    ledger.apply(transaction, SPEC)
    return ledger.change().after


def refused(transaction: Transaction, known: Entries = START) -> tuple[str, str | None]:
    """The broken rule and its field. Nothing may have changed."""
    ledger = Ledger(known)
    with pytest.raises(RuleError) as caught:
        ledger.apply(transaction, SPEC)
    change = ledger.change()
    assert not change.after.accounts and not change.after.allowances and change.after.supply == known.supply
    return caught.value.code, caught.value.field


def test_transfer() -> None:
    after = apply(make("transfer", A, C, 30, fee=5))
    assert after.accounts == {A: Account(65, 1), C: Account(30, 0)} and not after.allowances


def test_transfer_to_oneself_costs_the_fee_only() -> None:
    assert apply(make("transfer", A, A, 95, fee=5)).accounts == {A: Account(95, 1)}
    assert refused(make("transfer", A, A, 96, fee=5)) == ("insufficient_funds", "amount")


def test_approve_overwrites_and_moves_nothing() -> None:
    after = apply(make("approve", A, B, 7, fee=1))
    assert after.accounts == {A: Account(99, 1)} and after.allowances == {(A, B): 7}
    assert apply(make("approve", A, B, MAX_AMOUNT)).allowances == {(A, B): MAX_AMOUNT}


def test_transfer_from() -> None:
    after = apply(make("transfer_from", C, A, 15, owner=B))
    assert after.accounts == {C: Account(0, 1), B: Account(35, 0), A: Account(115, 0)}
    assert after.allowances == {(B, C): 5}


def test_the_largest_allowance_falls_as_well() -> None:
    assert apply(make("transfer_from", B, C, 1, owner=A)).allowances == {(A, B): MAX_AMOUNT - 1}


def test_allowance_for_oneself_is_needed_and_falls() -> None:
    assert apply(make("transfer_from", A, C, 5, owner=A)).allowances == {(A, A): 0}
    assert refused(make("transfer_from", A, C, 6, owner=A)) == ("insufficient_allowance", "amount")
    assert refused(make("transfer_from", B, C, 1, owner=B)) == ("insufficient_allowance", "amount")


def test_transfer_from_the_owner_to_the_owner() -> None:
    after = apply(make("transfer_from", C, B, 20, owner=B))
    assert after.accounts[B] == Account(50, 0) and after.allowances == {(B, C): 0}


def test_sender_and_owner_share_one_balance_for_fee_and_amount() -> None:
    allowed = Entries({A: Account(10)}, {(A, A): 100}, 10)
    assert apply(make("transfer_from", A, B, 8, owner=A, fee=2), allowed).accounts[A] == Account(0, 1)
    assert refused(make("transfer_from", A, B, 9, owner=A, fee=2), allowed) == ("insufficient_funds", "amount")


def test_zero_amounts_need_neither_funds_nor_leave() -> None:
    for kind, owner in (("transfer", None), ("approve", None), ("transfer_from", A)):
        assert apply(make(kind, C, B, 0, owner=owner)).accounts[C] == Account(0, 1)


def test_order_of_the_checks() -> None:
    # Everything is wrong at first; each repair brings the next rule to light.
    wrong = make("transfer_from", C, B, 60, owner=B, chain_id=8, nonce=3, fee=1)
    known = Entries({B: Account(50)}, {}, 50)
    assert refused(wrong, known) == ("wrong_chain_id", "chain_id")
    wrong = replace(wrong, chain_id=7)
    assert refused(wrong, known) == ("nonce_gap", "nonce")
    assert refused(replace(wrong, nonce=0), Entries({C: Account(0, 1)}, {}, 0)) == ("nonce_too_low", "nonce")
    wrong = replace(wrong, nonce=0)
    assert refused(wrong, known) == ("insufficient_funds", "fee")
    wrong = replace(wrong, fee=0)
    assert refused(wrong, known) == ("insufficient_funds", "amount")
    wrong = replace(wrong, amount=50)
    assert refused(wrong, known) == ("insufficient_allowance", "amount")
    assert apply(wrong, replace(known, allowances={(B, C): 50})).accounts[B] == Account(100 - 50, 0)


def test_touched_names_all_that_is_read_or_written() -> None:
    found = touched([reward(), make("approve", A, B), make("transfer_from", C, A, owner=B)])
    assert found.accounts == {A, B, C} and found.allowances == {(A, B), (B, C)}
    assert touched([reward(recipient=B)]).accounts == {B}  # the sender of a reward is nobody


def test_a_block_may_create_its_reward_only() -> None:
    payment = make("transfer", A, B, 1, fee=3)
    change = apply_block([reward(13), payment], START, SPEC)
    assert change.after.supply == 160 and change.after.accounts[C].balance == 13
    for amount in (12, 14, 10):
        with pytest.raises(RuleError) as caught:
            apply_block([reward(amount), payment], START, SPEC)
        assert caught.value.code == "supply_not_conserved"


def test_trial_keeps_what_fits_and_forgets_what_fails() -> None:
    trial = Trial(SPEC)
    trial.learn(Entries({A: Account(100, 4)}))
    trial.apply(make("transfer", A, B, 60, nonce=4))
    with pytest.raises(RuleError):
        trial.apply(make("transfer", A, B, 60, nonce=5))
    trial.learn(Entries({B: Account(1, 9)}))
    trial.apply(make("transfer", A, B, 40, nonce=5))
    assert trial.next_nonce(A) == 6 and trial.next_nonce(C) == 0


# Random histories

amounts = st.integers(0, 60) | st.sampled_from([0, MAX_AMOUNT])
step = st.tuples(
    st.sampled_from(["transfer", "approve", "transfer_from"]),
    *[st.sampled_from(PEOPLE)] * 3,
    amounts,
    st.integers(0, 8),
    st.sampled_from([0, 0, 0, 0, 0, -1, 1]),  # off the right nonce by
)
balances = st.tuples(*[st.integers(0, 100)] * 3)
Steps = Sequence[tuple[Any, ...]]


class Model:
    """The ledger again, as plainly as possible: dictionaries that are copied before each attempt."""

    def __init__(self, start: Sequence[int]) -> None:
        self.balance = dict(zip(PEOPLE, start, strict=True))
        self.nonce = dict.fromkeys(PEOPLE, 0)
        self.allowance = {(owner, spender): 0 for owner in PEOPLE for spender in PEOPLE}

    def apply(self, tx: Transaction) -> bool:
        balance, allowance = dict(self.balance), dict(self.allowance)
        if tx.nonce != self.nonce[tx.sender]:
            return False
        balance[tx.sender] -= tx.fee
        if balance[tx.sender] < 0:
            return False
        if tx.type == "approve":
            allowance[tx.sender, tx.recipient] = tx.amount
        else:
            payer = tx.owner or tx.sender
            balance[payer] -= tx.amount
            if tx.owner:
                allowance[payer, tx.sender] -= tx.amount
            if balance[payer] < 0 or min(allowance.values()) < 0:
                return False
            balance[tx.recipient] += tx.amount
        self.balance, self.allowance = balance, allowance
        self.nonce[tx.sender] += 1
        return True


def build(steps: Steps, nonces: dict[str, int]) -> list[Transaction]:
    built = []
    for kind, sender, recipient, other, amount, fee, off in steps:
        owner = other if kind == "transfer_from" else None
        nonce = max(nonces[sender] + off, 0)
        built.append(make(kind, sender, recipient, amount, fee=fee, nonce=nonce, owner=owner))
        if off == 0:
            nonces[sender] += 1
    return built


@settings(max_examples=150, deadline=None, derandomize=True)
@given(start=balances, steps=st.lists(step, max_size=40))
def test_random_histories_agree_with_the_model(start: Sequence[int], steps: Steps) -> None:
    known = Entries({p: Account(units) for p, units in zip(PEOPLE, start, strict=True)}, {}, sum(start))
    ledger, model = Ledger(known), Model(start)
    fees = 0
    for kind, sender, recipient, other, amount, fee, off in steps:
        owner = other if kind == "transfer_from" else None
        nonce = max(model.nonce[sender] + off, 0)
        transaction = make(kind, sender, recipient, amount, fee=fee, nonce=nonce, owner=owner)
        before = {person: ledger.account(person) for person in PEOPLE}
        try:
            ledger.apply(transaction, SPEC)
            accepted = True
            fees += fee
        except RuleError:
            accepted = False
            assert {person: ledger.account(person) for person in PEOPLE} == before
        assert accepted == model.apply(transaction)
        assert {p: ledger.account(p) for p in PEOPLE} == {p: Account(model.balance[p], model.nonce[p]) for p in PEOPLE}
        assert {key: ledger.allowance(*key) for key in model.allowance} == model.allowance
        assert sum(ledger.account(person).balance for person in PEOPLE) == sum(start) - fees


@settings(max_examples=100, deadline=None, derandomize=True)
@given(blocks=st.lists(st.lists(step, max_size=10), min_size=1, max_size=5))
@example(blocks=[[("approve", A, B, A, MAX_AMOUNT, 0, 0), ("transfer_from", B, C, A, 60, 0, 0)]])
def test_undo_after_apply_is_identity_and_supply_grows_by_the_reward(blocks: Sequence[Steps]) -> None:
    state = replace(START, allowances=dict(START.allowances))
    history = []
    for steps in blocks:
        # What a miner does: leave out what fails.
        trial, chosen = Trial(SPEC), []
        trial.learn(state)
        for transaction in build(steps, {person: trial.next_nonce(person) for person in PEOPLE}):
            try:
                trial.apply(transaction)
            except RuleError:
                continue
            chosen.append(transaction)
        # without money, so that the fees are not there before they are paid
        body = [reward(10 + sum(transaction.fee for transaction in chosen), "miner"), *chosen]
        change = apply_block(body, state, SPEC)
        assert change.before.accounts.keys() == change.after.accounts.keys() <= touched(body).accounts
        assert change.before.allowances.keys() == change.after.allowances.keys() <= touched(body).allowances
        history.append((state, change))
        state = over(state, change.after)
        assert state.supply == history[-1][0].supply + SPEC.reward
        assert sum(account.balance for account in state.accounts.values()) == state.supply
    for before, change in reversed(history):
        state = over(state, change.before)
        assert plain(state) == plain(before)


def over(base: Entries, top: Entries) -> Entries:
    return Entries({**base.accounts, **top.accounts}, {**base.allowances, **top.allowances}, top.supply)


def plain(entries: Entries) -> tuple[Any, ...]:
    """Without what is zero, which is the same as absent."""
    accounts = {address: account for address, account in entries.accounts.items() if account != NO_ACCOUNT}
    return accounts, {key: amount for key, amount in entries.allowances.items() if amount}, entries.supply
