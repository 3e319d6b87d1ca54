"""`bad_recipient`: no kind of transaction may go to an address that has no key."""

from collections.abc import Callable

import pytest

from shared.addresses import ZERO_ADDRESS
from shared.chain_spec import Token
from shared.erc20 import encode_approve, encode_transfer, encode_transfer_from
from shared.errors import RuleError
from shared.reward import make_reward
from shared.rules import rules_for
from tests.support.chains import Chain, Json, make_spec, reward_fields
from tests.support.keys import ALICE, BOB, MINER
from tests.support.specs import CHAIN_ID

TOKEN = Token().address
LOST = {"the zero address": ZERO_ADDRESS, "the token": TOKEN}

WAYS: dict[str, Callable[[Chain, str], Json]] = {
    "a transfer": lambda chain, to: chain.transfer(ALICE, BOB, "5", recipient=to),
    "a transfer of nothing": lambda chain, to: chain.transfer(ALICE, BOB, "0", recipient=to),
    "an approval": lambda chain, to: chain.approve(ALICE, BOB, "5", recipient=to),
    "an approval of nothing": lambda chain, to: chain.approve(ALICE, BOB, "0", recipient=to),
    "a transfer for the owner": lambda chain, to: chain.transfer_from(BOB, ALICE, BOB, "0", recipient=to),
    "a wallet's transfer": lambda chain, to: chain.from_wallet(TOKEN, input=encode_transfer(to, 5)),
    "a wallet's approval": lambda chain, to: chain.from_wallet(TOKEN, input=encode_approve(to, 5)),
    "a wallet's transfer for the owner": lambda chain, to: chain.from_wallet(
        TOKEN, input=encode_transfer_from(ALICE.address, to, 0)
    ),
}


@pytest.mark.parametrize("to", LOST.values(), ids=LOST)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_bad_recipient(chain: Chain, way: Callable[[Chain, str], Json], to: str) -> None:
    transaction = way(chain, to)
    assert chain.rejects(chain.draft(transaction)) == "bad_recipient"
    # A node refuses the request with the same code.
    with pytest.raises(RuleError) as caught:
        rules_for(chain.spec).read_request(transaction)
    assert (caught.value.code, caught.value.field) == ("bad_recipient", "recipient")
    chain.mine(way(chain, BOB.address))  # the same to Bob is valid
    chain.verified()


def test_bad_recipient_of_a_wallets_plain_transfer(chain: Chain) -> None:
    assert chain.rejects(chain.draft(chain.from_wallet(ZERO_ADDRESS, value=5))) == "bad_recipient"


@pytest.mark.parametrize("to", LOST.values(), ids=LOST)
def test_bad_recipient_of_a_reward(chain: Chain, to: str) -> None:
    assert chain.rejects(chain.draft(reward=reward_fields(chain, recipient=to))) == "bad_recipient"


def test_the_token_is_where_the_spec_says() -> None:
    # On a chain whose token has another address, the usual address is an ordinary one.
    chain = Chain(make_spec(token={"address": BOB.address}))
    assert chain.rejects(chain.draft(chain.transfer(ALICE, BOB, "1"))) == "bad_recipient"
    chain.mine(chain.transfer(ALICE, BOB, "1", recipient=TOKEN))
    chain.verified()


def test_they_may_be_named_as_the_owner_of_nothing(chain: Chain) -> None:
    # Nothing goes to these addresses, and there is nothing to take from them, so this stays valid.
    chain.mine(chain.transfer_from(ALICE, BOB, BOB, "0", owner=ZERO_ADDRESS))
    chain.verified()


def test_the_order_of_the_rules(chain: Chain) -> None:
    # signature, chain_id, bad_recipient, nonce, funds
    def draft(**changes: object) -> Json:
        return chain.draft(chain.transfer(ALICE, BOB, "1", **{"recipient": ZERO_ADDRESS, **changes}))

    unsigned = {**chain.transfer(ALICE, BOB, "1"), "recipient": ZERO_ADDRESS}
    assert chain.rejects(chain.draft(unsigned)) == "bad_signature"
    assert chain.rejects(draft(chain_id=CHAIN_ID + 1)) == "wrong_chain_id"
    assert chain.rejects(draft(nonce=7)) == "bad_recipient"
    assert chain.rejects(draft(amount="1000000")) == "bad_recipient"
    # The reward is applied first, but only after every signature was checked.
    lost = make_reward(CHAIN_ID, chain.height + 1, ZERO_ADDRESS, chain.spec.reward).fields
    assert chain.rejects(chain.draft(unsigned, reward=lost)) == "bad_signature"
    gap = chain.transfer(ALICE, BOB, "1", nonce=7)
    assert chain.rejects(chain.draft(gap, reward=lost)) == "bad_recipient"


def test_anybody_else_is_a_payee(chain: Chain) -> None:
    rules = rules_for(chain.spec)
    rules.check_payee(MINER, field="QUARRY_REWARD_ADDRESS")
    for to in LOST.values():
        with pytest.raises(RuleError, match="QUARRY_REWARD_ADDRESS") as caught:
            rules.check_payee(to, field="QUARRY_REWARD_ADDRESS")
        assert caught.value.code == "bad_recipient"
