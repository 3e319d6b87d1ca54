"""The reward: the first transaction of every block but genesis, which nobody signs (docs/consensus.md)."""

from typing import Any

from shared.addresses import REWARD_SENDER, require_address
from shared.amounts import format_amount, parse_amount
from shared.canonical import canonical
from shared.errors import InputError, RuleError
from shared.hashing import sha256
from shared.transaction import UNSIGNED, Transaction, signing_message


def read_reward(value: Any) -> Transaction:
    """The reward, the first transaction of every block but genesis, from its JSON object.

    Raises:
        RuleError: `reward_missing`, `bad_reward`, or the code of a malformed field.
    """
    if not isinstance(value, dict) or set(value) != UNSIGNED or value["type"] != "reward":
        raise RuleError("reward_missing", "The first transaction of a block must be its reward, and only the first.")
    if type(value["chain_id"]) is not int or type(value["nonce"]) is not int or value["nonce"] < 0:
        raise RuleError("bad_reward", "chain_id and nonce of the reward must be whole numbers.")
    if value["sender"] != REWARD_SENDER or value["fee"] != "0":
        raise RuleError("bad_reward", 'A reward is sent by "0" and pays no fee.')
    try:
        recipient = require_address(value["recipient"], field="recipient")
        amount = parse_amount(value["amount"])
    except InputError as error:
        raise error.in_block() from None
    return Transaction(
        id=sha256(signing_message(value)).hex(),
        type="reward",
        chain_id=value["chain_id"],
        nonce=value["nonce"],
        sender=REWARD_SENDER,
        recipient=recipient,
        amount=amount,
        fee=0,
        owner=None,
        fields=value,
        canonical=canonical(value),
    )


def make_reward(chain_id: int, height: int, recipient: str, amount: int) -> Transaction:
    """The reward of the block at `height`. `amount`: the spec's reward and all fees of the block, in base units.

    Raises:
        RuleError: `bad_address`, `bad_amount`: no reward can have this recipient or amount.
    """
    return read_reward(
        {
            "type": "reward",
            "chain_id": chain_id,
            "nonce": height,
            "sender": REWARD_SENDER,
            "recipient": recipient,
            "amount": format_amount(amount),
            "fee": "0",
        }
    )
