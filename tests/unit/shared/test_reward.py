"""Rewards, which nobody signs. In blocks: consensus/test_body_rules."""

import pytest

from shared.canonical import canonical
from shared.errors import InputError
from shared.hashing import sha256
from shared.reward import make_reward, read_reward
from shared.transaction import read_transaction
from tests.support.keys import ALICE
from tests.support.specs import CHAIN_ID


def test_a_reward_cannot_be_submitted() -> None:
    reward = make_reward(CHAIN_ID, 2, ALICE.address, 10**18)
    with pytest.raises(InputError):
        read_transaction(reward.fields)
    assert read_reward(reward.fields) == reward
    assert reward.id == sha256(b"quarry-transaction:" + canonical(reward.fields)).hex()


def test_rewards_of_different_blocks_have_different_ids() -> None:
    assert len({make_reward(CHAIN_ID, index, ALICE.address, 10**18).id for index in range(2, 50)}) == 48
