"""What an attack is told to do: the options of the command, or the object that a lab which runs already is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lab.interface import LabError
from lab.units import base_units
from shared.addresses import require_address
from shared.errors import NodeError

MOST_DEPTH = 100
MOST_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One attack."""

    against: str  # URL, as `lab.attack.application` has it
    depth: int  # confirmations up to which the payment is taken back
    pay_to: str  # address
    amount: str = "0.5"  # coins
    credited: str = "credited=true"
    node: int = 2  # number of the node that the application watches
    wait: float = 5.0  # seconds that the application gets after each confirmation
    patience: float = 60.0  # seconds until it answers for the first time

    def to_object(self) -> dict[str, Any]:
        return asdict(self)


def read_asked(values: Mapping[str, Any]) -> Asked:
    """Check what was asked.

    Raises:
        LabError: something is missing, unknown, or out of range.
    """
    kinds: dict[str, type] = {
        "against": str, "depth": int, "pay_to": str, "amount": str, "credited": str, "node": int, "wait": float,
        "patience": float,
    }  # fmt: skip
    for name, value in values.items():
        kind = kinds.get(name)
        if kind is None:
            raise LabError(f"An attack has no {name[:40]!r}.")
        if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else kind):
            raise LabError(f"{name} cannot be {value!r:.40}.")
    for name in ("against", "depth", "pay_to"):
        if name not in values:
            raise LabError(f"An attack needs {name}.")
    asked = Asked(**values)
    if not 0 <= asked.depth <= MOST_DEPTH:
        raise LabError(f"The depth is from 0 to {MOST_DEPTH} confirmations, not {asked.depth}.")
    for name in ("wait", "patience"):
        if not 0 <= getattr(asked, name) <= MOST_SECONDS:
            raise LabError(f"{name} is from 0 to {MOST_SECONDS:g} seconds, not {getattr(asked, name)!r:.40}.")
    try:
        require_address(asked.pay_to, field="pay_to")
    except NodeError:
        raise LabError(f"{asked.pay_to!r:.60} is no address.") from None
    if not 0 < base_units(asked.amount):
        raise LabError(f"The amount is more than 0, not {asked.amount}.")
    return asked
