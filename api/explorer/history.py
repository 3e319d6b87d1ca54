"""What a transaction does to the balance of one account, so that the shown history of an address adds up to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from shared.amounts import format_amount, parse_amount

Direction = Literal["in", "out", "none"]


@dataclass(frozen=True, slots=True)
class Effect:
    """What one transaction does to one balance. Amounts are in coins, in normal form."""

    direction: Direction  # of the change
    change: str  # without a sign
    fee: str | None  # what this account paid for the transaction; None if it paid nothing
    fees_earned: str | None = None  # the part of a reward that others paid as fees
    to_itself: bool = False  # the amount went from the account to itself


def effect_of(fields: Mapping[str, Any], address: str, reward: int) -> Effect:
    """The effect of a transaction of the standard rules (its JSON object) on the balance of `address`.

    Args:
        reward: new coin per block, in base units; what a reward pays beyond it are fees.
    """
    if fields["type"] == "reward":
        paid = parse_amount(fields["amount"])
        earned = format_amount(paid - reward) if paid > reward else None
        return _effect(paid if fields["recipient"] == address else 0, None, fees_earned=earned)
    amount, fee = parse_amount(fields["amount"]), parse_amount(fields["fee"])
    pays_fee = fields["sender"] == address
    change = -fee if pays_fee else 0
    gives = gets = False
    if fields["type"] != "approve":  # which moves nothing
        gives = fields.get("owner", fields["sender"]) == address
        gets = fields["recipient"] == address
        change += amount * (gets - gives)
    return _effect(change, format_amount(fee) if pays_fee and fee else None, to_itself=gives and gets)


def genesis_effect(allocated: int) -> Effect:
    """The effect of the coins that the chain spec gives to an account before the first block. Base units."""
    return _effect(allocated, None)


def _effect(change: int, fee: str | None, *, fees_earned: str | None = None, to_itself: bool = False) -> Effect:
    direction: Direction = "in" if change > 0 else "out" if change < 0 else "none"
    return Effect(direction, format_amount(abs(change)), fee, fees_earned, to_itself)
