"""Events that add up: every balance and the supply are sums of the events since block 0, at the end of every block."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import eth_account  # noqa: F401 # the verifier's; its import raises the recursion limit, not during a test of Hypothesis
from hypothesis import given, settings
from hypothesis import strategies as st

from services.token.receipts import Executed, TokenEvent, execute
from services.token.spec_block import make_spec_block
from shared import erc20
from shared.addresses import ZERO_ADDRESS, checksummed
from shared.chain_spec import spec_from_object
from shared.errors import RuleError
from shared.ledger import Entries
from shared.reward import read_reward
from shared.transaction import read_transaction
from tests.support.chains import WALLET, Chain, Json, make_spec
from tests.support.keys import ALICE, BOB, CAROL, MINER
from tests.vectors import freeze

VECTORS = Path(freeze.__file__).parent
PEOPLE = (ALICE, BOB, CAROL)
BY_WALLET = ("coin", "token", "wallet approves", "wallet spends")

# kind, who signs, another, a third, tenths of a coin, thousandths of a coin in fees
step = st.tuples(
    st.sampled_from(["transfer", "approve", "transfer_from", *BY_WALLET]),
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
        units = tenths * 10**17
        fields = {"nonce": trial.next_nonce(key.address), "fee": f"0.00{fee}" if fee else "0"}
        raw: Json = {"nonce": trial.next_nonce(WALLET), "gas_price": fee * 10**9}
        amount = f"{tenths // 10}.{tenths % 10}".removesuffix(".0")
        token = chain.spec.token.address
        match kind:
            case "transfer":
                item = chain.transfer(key, other, amount, **fields)
            case "approve":
                item = chain.approve(key, other, amount, **fields)
            case "transfer_from":
                item = chain.transfer_from(key, other, third, amount, **fields)
            case "coin":
                item = chain.from_wallet(key.address, value=units, **raw)
            case "token":
                item = chain.from_wallet(token, input=erc20.encode_transfer(WALLET if tenths % 2 else MINER, 5), **raw)
            case "wallet approves":
                item = chain.from_wallet(token, input=erc20.encode_approve(key.address, units), **raw)
            case _:
                item = chain.from_wallet(
                    token, input=erc20.encode_transfer_from(key.address, other.address, units // 10), **raw
                )
        try:
            trial.apply(chain.rules.read_request(item))
        except RuleError:
            continue
        accepted.append(item)
    return accepted


def movement(event: TokenEvent) -> tuple[str, str, int] | None:
    """From whom, to whom and how much; None for an approval."""
    name, source, target = event.log.topics
    if name != erc20.TRANSFER_TOPIC:
        assert name == erc20.APPROVAL_TOPIC
        return None
    return checksummed(source[12:]), checksummed(target[12:]), int.from_bytes(event.log.data, "big")


def add(balances: Counter[str], events: Iterable[TokenEvent]) -> None:
    for event in events:
        moved = movement(event)
        if moved is not None:
            source, target, amount = moved
            balances[source] -= amount
            balances[target] += amount


@settings(max_examples=60, deadline=None, derandomize=True)
@given(plans=st.lists(st.lists(step, max_size=14), min_size=1, max_size=4))
def test_events_since_block_0_are_every_balance_and_the_supply(plans: list[list[tuple[Any, ...]]]) -> None:
    chain = Chain()
    balances: Counter[str] = Counter()
    add(balances, make_spec_block(chain.spec).transactions[0].events)
    for plan in [[], *plans]:
        block = chain.mine(*draw(chain, plan))
        executed = execute(block.transactions, chain.spec)
        events = [event for item in executed for event in item.events]
        assert [event.log_index for event in events] == list(range(len(events)))
        assert all(len(item.events) == 1 for item in executed[1:])
        add(balances, events)
        expected = {address: account.balance for address, account in chain.replay.accounts.items() if account.balance}
        assert {address: sum_ for address, sum_ in balances.items() if sum_ and address != ZERO_ADDRESS} == expected
        assert -balances[ZERO_ADDRESS] == chain.replay.supply
    chain.verified()  # an independent verifier has the same ledger


def test_the_rewards_receipt_has_one_event_for_each_account_that_pays_fees() -> None:
    chain = Chain()
    chain.mine(chain.transfer(ALICE, BOB, "10"), chain.transfer(ALICE, CAROL, "10", nonce=1))
    chain.mine(chain.approve(ALICE, CAROL, "5"))
    block = chain.mine(
        chain.transfer_from(CAROL, ALICE, BOB, "2", fee="0.003"),  # the caller pays the fee, not the owner
        chain.transfer(BOB, CAROL, "1", fee="0"),
        chain.transfer(ALICE, ALICE, "4", fee="0.001"),
        chain.transfer(CAROL, BOB, "1", nonce=1, fee="0.004"),
        chain.approve(BOB, ALICE, "1", nonce=1, fee="0.002"),
    )
    reward, *others = execute(block.transactions, chain.spec)
    coin, milli = 10**18, 10**15
    assert [movement(event) for event in reward.events] == [
        (ZERO_ADDRESS, MINER, chain.spec.reward + 10 * milli),
        (CAROL.address, ZERO_ADDRESS, 7 * milli),  # by their first transactions with a fee, one sum each
        (ALICE.address, ZERO_ADDRESS, milli),
        (BOB.address, ZERO_ADDRESS, 2 * milli),
    ]
    assert {(event.transaction_id, event.position) for event in reward.events} == {(block.transactions[0].id, 0)}
    assert [movement(item.events[0]) for item in others] == [
        (ALICE.address, BOB.address, 2 * coin),
        (BOB.address, CAROL.address, coin),
        (ALICE.address, ALICE.address, 4 * coin),
        (CAROL.address, BOB.address, coin),
        None,
    ]
    assert [event.log_index for item in (reward, *others) for event in item.events] == list(range(9))


def test_the_frozen_block_has_these_receipts() -> None:
    vector = json.loads((VECTORS / "receipts.json").read_text())["block"]
    spec = make_spec(chain_id=7)
    reward, *others = vector["transactions"]
    executed = execute([read_reward(reward), *(read_transaction(item) for item in others)], spec)
    assert [shown(item) for item in executed] == vector["receipts"]
    assert erc20.bloom(event.log for item in executed for event in item.events).hex() == vector["bloom"]


def test_the_frozen_specs_have_these_receipts() -> None:
    vectors = json.loads((VECTORS / "receipts.json").read_text())["block_zero"]
    assert [len(vector["receipts"][0]["logs"]) for vector in vectors] == [10, 10, 0]  # dev, lab, network
    for vector in vectors:
        block = make_spec_block(spec_from_object(vector["spec"]))
        assert [shown(item) for item in block.transactions] == vector["receipts"]
        header = block.stored.header
        assert (header.hash, header.transactions_root) == (vector["hash"], vector["transactions_root"])
        assert (block.stored.size, block.bloom.hex()) == (vector["size"], vector["bloom"])


def shown(item: Executed) -> Json:
    """A receipt in the form of the frozen vectors."""
    logs = [
        {"topics": [topic.hex() for topic in event.log.topics], "data": event.log.data.hex(), "index": event.log_index}
        for event in item.events
    ]
    return {"id": item.transaction.id, "logs": logs, "bloom": erc20.bloom(event.log for event in item.events).hex()}


def test_without_fees_there_is_one_event_a_transaction() -> None:
    chain = Chain()
    block = chain.mine(chain.transfer(ALICE, BOB, "1"), chain.from_wallet(BOB.address, value=1, gas_price=0))
    assert [len(item.events) for item in execute(block.transactions, chain.spec)] == [1, 1, 1]
    assert execute((), chain.spec) == ()
