"""Blocks whose body breaks one rule that does not need the ledger: root, reward, sizes."""

from typing import Any

import pytest

from shared.canonical import canonical
from shared.errors import RuleError
from tests.support.chains import START, Chain, Json, make_spec, plus_one_unit, reward_fields, root_of
from tests.support.keys import ALICE, BOB, CAROL, MINER
from tests.support.specs import CHAIN_ID


def test_wrong_root(chain: Chain) -> None:
    assert chain.rejects(chain.draft(transactions_root=root_of([]))) == "wrong_root"


def test_wrong_root_when_the_body_is_swapped_under_a_good_header(chain: Chain) -> None:
    # The header is right and stays valid: only this body is wrong.
    good = chain.draft(chain.transfer(ALICE, BOB, "1"))
    swapped = {**good, "transactions": [good["transactions"][0], chain.transfer(ALICE, CAROL, "1")]}
    assert chain.rejects(swapped) == "wrong_root"
    chain.accept(good)


def test_wrong_root_when_transactions_change_places(chain: Chain) -> None:
    first = chain.transfer(ALICE, BOB, "1")
    good = chain.draft(first, chain.transfer(ALICE, BOB, "2", nonce=first["nonce"] + 1))
    body = good["transactions"]
    assert chain.rejects({**good, "transactions": [body[0], body[2], body[1]]}) == "wrong_root"


def test_wrong_root_when_the_last_transaction_is_repeated(chain: Chain) -> None:
    # Bitcoin's trees have the same root here (CVE-2012-2459); ours must not.
    first = chain.transfer(ALICE, BOB, "1")
    good = chain.draft(first, chain.transfer(ALICE, BOB, "2", nonce=first["nonce"] + 1))
    assert chain.rejects({**good, "transactions": [*good["transactions"], good["transactions"][2]]}) == "wrong_root"


@pytest.mark.parametrize("amount", ["0.999999999999999999", "1.000000000000000001", "2", "0"])
def test_wrong_reward_amount(chain: Chain, amount: str) -> None:
    assert chain.rejects(chain.draft(reward=reward_fields(chain, amount=amount))) == "wrong_reward"


def test_wrong_reward_that_leaves_the_fees_out_or_counts_them_twice(chain: Chain) -> None:
    payment = chain.transfer(ALICE, BOB, "1", fee="0.25")
    for amount in ("1", "1.5", plus_one_unit("1.25")):
        assert chain.rejects(chain.draft(payment, reward=reward_fields(chain, amount=amount))) == "wrong_reward"
    chain.mine(payment, reward=reward_fields(chain, amount="1.25"))
    chain.verified()


def test_wrong_reward_of_another_height(chain: Chain) -> None:
    # Otherwise two rewards could have one id.
    for nonce in (chain.height, chain.height + 2):
        assert chain.rejects(chain.draft(reward=reward_fields(chain, nonce=nonce))) == "wrong_reward"


def test_wrong_reward_of_another_chain(chain: Chain) -> None:
    assert chain.rejects(chain.draft(reward=reward_fields(chain, chain_id=CHAIN_ID + 1))) == "wrong_reward"


@pytest.mark.parametrize(
    "changes",
    [
        {"sender": ALICE.address},
        {"fee": "0.1"},
        {"fee": 0},
        {"sender": 0},
        {"nonce": True},
        {"nonce": "2"},
        {"chain_id": 1.0},
    ],
    ids=str,
)
def test_bad_reward(chain: Chain, changes: dict[str, Any]) -> None:
    assert chain.rejects(chain.draft(reward=reward_fields(chain, **changes))) == "bad_reward"


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"amount": 1}, "bad_amount"),
        ({"amount": "1.0"}, "bad_amount"),
        ({"recipient": BOB.address.lower()}, "bad_address"),
        ({"recipient": "0"}, "bad_address"),
    ],
    ids=str,
)
def test_reward_fields_must_be_in_their_normal_form(chain: Chain, changes: dict[str, Any], rule: str) -> None:
    assert chain.rejects(chain.draft(reward=reward_fields(chain, **changes))) == rule


def test_reward_missing_when_the_body_is_empty(chain: Chain) -> None:
    assert chain.rejects(chain.draft(body=[])) == "reward_missing"


def test_reward_missing_when_a_payment_stands_in_its_place(chain: Chain) -> None:
    assert chain.rejects(chain.draft(body=[chain.transfer(ALICE, BOB, "1")])) == "reward_missing"


def test_reward_missing_from_the_first_place(chain: Chain) -> None:
    body = [chain.transfer(ALICE, BOB, "1"), reward_fields(chain)]
    assert chain.rejects(chain.draft(body=body)) == "reward_missing"


@pytest.mark.parametrize("changes", [{"data": "memo"}, {"scheme": "ed25519"}, {"type": "transfer"}], ids=str)
def test_reward_missing_when_it_has_other_fields(chain: Chain, changes: dict[str, Any]) -> None:
    assert chain.rejects(chain.draft(reward=reward_fields(chain, **changes))) == "reward_missing"


def test_second_reward_is_an_unsigned_transaction(chain: Chain) -> None:
    assert chain.rejects(chain.draft(reward_fields(chain))) == "missing_field"


def test_second_reward_that_is_signed_has_an_unknown_type(chain: Chain) -> None:
    assert chain.rejects(chain.draft(chain.transfer(ALICE, BOB, "1", type="reward"))) == "unknown_type"


def test_block_too_large_by_one_byte() -> None:
    # At difficulty 1 every proof is 0, so a byte of memo is a byte of block.
    chain = Chain(make_spec(max_block_bytes=10_000, difficulty=1))
    first = chain.transfer(ALICE, BOB, "1", data="x" * 4000)

    def draft(length: int) -> dict[str, Any]:
        return chain.draft(first, chain.transfer(ALICE, BOB, "1", nonce=1, data="x" * length))

    def size(block: dict[str, Any]) -> int:
        return chain.rules.read_block(block).size

    length = 10_001 - size(draft(1))
    assert size(draft(length)) == 10_000
    assert chain.rejects(draft(length + 1)) == "block_too_large"
    chain.accept(draft(length))
    chain.verified()


def test_too_many_transactions() -> None:
    # Three in a block, the reward included.
    chain = Chain(make_spec(max_block_transactions=3))
    payments = [chain.transfer(ALICE, BOB, "1", nonce=i) for i in range(3)]
    assert chain.rejects(chain.draft(*payments)) == "too_many_transactions"
    chain.mine(*payments[:2])
    chain.verified()


# --- blocks of templates that this process has made ---


@pytest.mark.parametrize(
    "change", [{"amount": "3"}, {"fee": "0"}, {"nonce": 1}, {"recipient": CAROL.address}, {"more": "1"}], ids=str
)
@pytest.mark.parametrize("scheme", ["ed25519", "ethereum"])
def test_a_template_with_a_damaged_transaction_makes_no_valid_block(chain: Chain, scheme: str, change: Json) -> None:
    """A template is made of what the mempool holds, which was checked when it was admitted."""
    sent = chain.transfer(ALICE, BOB, "1", fee="1") if scheme == "ed25519" else chain.from_wallet(BOB.address, value=1)
    good = chain.rules.read_request(sent)
    fields = {**good.fields, **change}
    damaged = chain.rules.recall(canonical(fields), good.id, fields["nonce"])
    for transaction in (good, damaged):
        template = chain.rules.template(chain.replay.window, [transaction], MINER, START)
        proof = next(number for number in range(10**6) if template.accepts(number))
        if transaction is good:
            chain.rules.check_body(chain.rules.complete(template, proof), {good.id: good.sender})
            continue
        with pytest.raises(RuleError):
            chain.rules.check_body(chain.rules.complete(template, proof), {good.id: good.sender})
