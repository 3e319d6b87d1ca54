"""Blocks whose transactions are well-formed and signed, but which the ledger refuses."""

import pytest

from shared.amounts import COIN, MAX_AMOUNT, format_amount
from shared.errors import RuleError
from tests.support.chains import WALLET, Chain, make_spec
from tests.support.keys import ALICE, BOB, CAROL, MINER
from tests.support.specs import CHAIN_ID


def test_wrong_chain_id(used: Chain) -> None:
    # Signed for another chain, replayed on this one.
    assert used.rejects(used.draft(used.transfer(ALICE, BOB, "1", chain_id=CHAIN_ID + 1))) == "wrong_chain_id"


def test_wrong_chain_id_of_a_wallet(used: Chain) -> None:
    assert used.rejects(used.draft(used.from_wallet(BOB.address, value=1, chain_id=1))) == "wrong_chain_id"


def test_nonce_too_low_when_a_transaction_is_replayed(used: Chain) -> None:
    # g - 2 - 3 - 4 - 5 : the payment of block 2 once more
    assert used.rejects(used.draft(used.blocks[1]["transactions"][1])) == "nonce_too_low"


def test_nonce_too_low_when_it_is_reused_in_one_block(used: Chain) -> None:
    payment = used.transfer(ALICE, BOB, "1")
    assert used.rejects(used.draft(payment, payment)) == "nonce_too_low"
    other = used.transfer(ALICE, CAROL, "2")
    assert used.rejects(used.draft(payment, other)) == "nonce_too_low"


def test_nonce_gap(used: Chain) -> None:
    nonce = used.nonce(ALICE.address)
    assert used.rejects(used.draft(used.transfer(ALICE, BOB, "1", nonce=nonce + 1))) == "nonce_gap"
    out_of_order = [used.transfer(ALICE, BOB, "1", nonce=nonce + i) for i in (1, 0)]
    assert used.rejects(used.draft(*out_of_order)) == "nonce_gap"
    used.mine(*reversed(out_of_order))


def test_insufficient_funds_for_the_amount(used: Chain) -> None:
    assert used.rejects(used.draft(used.transfer(BOB, CAROL, "5.000000000000000001"))) == "insufficient_funds"
    used.mine(used.transfer(BOB, CAROL, "5"))
    assert BOB.address in used.replay.accounts and used.verified().accounts[BOB.address].balance == 0


def test_insufficient_funds_for_amount_and_fee_together(used: Chain) -> None:
    assert used.rejects(used.draft(used.transfer(BOB, CAROL, "4.5", fee="0.6"))) == "insufficient_funds"
    used.mine(used.transfer(BOB, CAROL, "4.5", fee="0.5"))


def test_insufficient_funds_for_the_fee_of_an_approval(used: Chain) -> None:
    # An approval moves no coins, but the sender pays its fee.
    assert used.rejects(used.draft(used.approve(BOB, CAROL, "1000", fee="5.1"))) == "insufficient_funds"
    used.mine(used.approve(BOB, CAROL, "1000", fee="5"))


def test_insufficient_funds_for_a_payment_to_oneself(used: Chain) -> None:
    assert used.rejects(used.draft(used.transfer(BOB, BOB, "6"))) == "insufficient_funds"
    used.mine(used.transfer(BOB, BOB, "5"))
    assert used.verified().accounts[BOB.address].balance == 5 * COIN


def test_insufficient_funds_when_the_money_comes_later_in_the_block(used: Chain) -> None:
    spend, receive = used.transfer(BOB, CAROL, "6"), used.transfer(ALICE, BOB, "1")
    assert used.rejects(used.draft(spend, receive)) == "insufficient_funds"
    used.mine(receive, spend)


def test_insufficient_funds_when_two_payments_spend_the_same_coins(used: Chain) -> None:
    first = used.transfer(BOB, CAROL, "5")
    second = used.transfer(BOB, ALICE, "5", nonce=1)
    assert used.rejects(used.draft(first, second)) == "insufficient_funds"


def test_the_reward_is_credited_first_and_spendable_in_its_own_block() -> None:
    chain = Chain()
    reward = {"type": "reward", "chain_id": CHAIN_ID, "nonce": 2, "sender": "0", "recipient": BOB.address}
    reward |= {"amount": "1.25", "fee": "0"}
    # Bob owns nothing but this block's reward, and the fees it includes are his own.
    chain.mine(chain.transfer(BOB, CAROL, "1", fee="0.25"), reward=reward)
    assert chain.verified().accounts[CAROL.address].balance == COIN


def test_insufficient_funds_of_the_owner_although_the_allowance_suffices(used: Chain) -> None:
    used.mine(used.approve(BOB, CAROL, "50"))
    assert used.rejects(used.draft(used.transfer_from(CAROL, BOB, ALICE, "6"))) == "insufficient_funds"


def test_insufficient_allowance(used: Chain) -> None:
    assert used.rejects(used.draft(used.transfer_from(BOB, ALICE, CAROL, "3.1"))) == "insufficient_allowance"
    used.mine(used.transfer_from(BOB, ALICE, CAROL, "2"))
    assert used.rejects(used.draft(used.transfer_from(BOB, ALICE, CAROL, "1.1"))) == "insufficient_allowance"
    used.mine(used.transfer_from(BOB, ALICE, CAROL, "1"))
    assert used.verified().allowances == {(ALICE.address, BOB.address): 0}


def test_insufficient_allowance_of_the_owner_for_oneself(used: Chain) -> None:
    # sender = owner: still needs an allowance, as in the reference ERC-20
    assert used.rejects(used.draft(used.transfer_from(ALICE, ALICE, CAROL, "1"))) == "insufficient_allowance"
    nonce = used.nonce(ALICE.address)
    used.mine(used.approve(ALICE, ALICE, "1"), used.transfer_from(ALICE, ALICE, CAROL, "1", nonce=nonce + 1))
    assert used.verified().allowances[ALICE.address, ALICE.address] == 0


def test_insufficient_allowance_in_the_other_direction(used: Chain) -> None:
    assert used.rejects(used.draft(used.transfer_from(ALICE, BOB, CAROL, "1"))) == "insufficient_allowance"


def test_an_infinite_allowance_falls_too(used: Chain) -> None:
    nonce = used.nonce(ALICE.address)
    used.mine(
        used.approve(ALICE, BOB, format_amount(MAX_AMOUNT), nonce=nonce), used.transfer_from(BOB, ALICE, CAROL, "1")
    )
    assert used.verified().allowances[ALICE.address, BOB.address] == MAX_AMOUNT - COIN


def test_approve_overwrites_and_zero_transfers_need_no_leave(used: Chain) -> None:
    used.mine(used.approve(ALICE, BOB, "1"))
    assert used.rejects(used.draft(used.transfer_from(BOB, ALICE, CAROL, "2"))) == "insufficient_allowance"
    used.mine(used.transfer_from(CAROL, ALICE, BOB, "0"), used.transfer(BOB, ALICE, "0"))
    used.verified()


def test_nothing_sent_to_somebody_new_makes_no_account() -> None:
    # Otherwise two nodes could store the same ledger differently.
    chain = Chain()
    chain.mine(chain.transfer(ALICE, CAROL, "0"))
    assert CAROL.address not in chain.replay.accounts


def test_one_failing_transaction_undoes_the_good_ones_before_it(used: Chain) -> None:
    good = used.transfer(ALICE, BOB, "1")
    assert used.rejects(used.draft(good, used.transfer(CAROL, BOB, "1000"))) == "insufficient_funds"
    assert used.replay.accounts[BOB.address].balance == 5 * COIN


def test_a_wallet_and_a_key_share_one_ledger(used: Chain) -> None:
    used.mine(used.from_wallet(BOB.address, value=COIN), used.transfer(BOB, ALICE, "6"))
    fee = 3 * 21_000
    assert used.verified().accounts[WALLET].balance == 99 * COIN - fee


def test_supply_stays_below_2_256() -> None:
    # Room for exactly one reward above the allocations.
    chain = Chain(make_spec(allocations={ALICE.address: format_amount(MAX_AMOUNT - COIN)}))
    chain.mine()
    assert chain.replay.supply == MAX_AMOUNT
    assert chain.rejects(chain.draft()) == "supply_not_conserved"


def test_balance_overflow() -> None:
    chain = Chain(make_spec(allocations={MINER: format_amount(MAX_AMOUNT - COIN)}))
    chain.mine()
    assert chain.rejects(chain.draft()) == "balance_overflow"


def test_a_reward_whose_fees_pass_2_256_is_refused_before_the_ledger_is_asked() -> None:
    chain = Chain()
    fee = format_amount(MAX_AMOUNT)
    payments = [chain.transfer(ALICE, BOB, "0", nonce=i, fee=fee) for i in range(2)]
    assert chain.rejects(chain.draft(*payments)) == "bad_amount"
    with pytest.raises(RuleError):
        chain.mine(*payments[:1])
