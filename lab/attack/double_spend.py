"""Pay an application, wait until it credits the payment, and take it back by proof of work.

One node is the attacker. It parts from the network, pays the application in public, and spends the same coins a second
time on a branch that only it knows. The others find one block after the other; after each, the application has some
seconds to credit the payment. As soon as it does, the attacker's branch gets more work than theirs and is shown: all
nodes follow it, as the rules want, and the payment is undone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from lab.attack.application import Payment, State
from lab.attack.asked import Asked
from lab.interface import Lab, LabError, LabNode
from lab.units import base_units

_LOOK = 0.2  # seconds between two questions
_WITHIN = 120.0  # seconds for what nodes do among themselves
_MOST_BLOCKS = 1000  # that the attacker finds to have the amount
# What the first question is about: a payment that does not exist.
_NOBODYS = "0" * 64

Check = Callable[[str, bool, float | None], None]


class Asks(Protocol):
    def ask(self, payment: Payment) -> State: ...


class DoubleSpend:
    """One attack.

    Args:
        check: notes a claim, whether it held, and its figure.
    """

    def __init__(self, lab: Lab, application: Asks, asked: Asked, check: Check) -> None:
        """Raises `LabError`: the lab has no node that the application could watch, or none besides."""
        if len(lab.nodes) < 2:
            raise LabError("An attack needs a lab of two nodes at least.")
        self._lab = lab
        self._application = application
        self._asked = asked
        self._check = check
        self._shop = lab.node(asked.node)
        others = [node for node in lab.nodes if node is not self._shop]
        self._attacker = next((node for node in others if node.state == "running"), others[0])
        self._others = [node.number for node in lab.nodes if node is not self._attacker]
        self._bad = 0  # answers that were none

    def run(self) -> None:
        """Do it. The lab mines as before afterwards, and no link is cut.

        Raises:
            LabError: the application does not answer at first, or a node does not do its part.
        """
        lab = self._lab
        self._greet()
        lab.mining(False)
        try:
            self._attack()
        finally:
            lab.heal()
            lab.mining(True)

    def _greet(self) -> None:
        """Wait for the application's first answer.

        Raises:
            LabError: it does not answer, or credits a payment that does not exist.
        """
        lab, asked = self._lab, self._asked
        deadline = lab.now + asked.patience
        while (state := self._application.ask(self._payment(_NOBODYS))) == "no answer":
            if lab.now >= deadline:
                raise LabError(f"The application at {asked.against} does not answer.")
            lab.run_for(_LOOK)
        if state == "credited":
            raise LabError(f"The application at {asked.against} credits a payment before anybody has made it.")

    def _attack(self) -> None:
        lab, attacker, shop, asked = self._lab, self._attacker, self._shop, self._asked
        lab.heal()
        self._agree()
        self._earn()
        lab.partition([attacker.number], self._others)
        nonce = attacker.next_nonce()
        payment = attacker.send(asked.pay_to, asked.amount, nonce=nonce, at=shop)
        attacker.send(attacker, asked.amount, nonce=nonce)
        lab.say(f"{attacker.name} pays the application {asked.amount} in public, and itself in secret.")
        believed = self._wait_for_belief(payment)
        self._check(
            f"the application does not believe a payment with up to {asked.depth} confirmations",
            believed is None,
            None if believed is None else float(believed),
        )
        if believed is not None:
            self._undo(payment, believed)
        self._check("the application answered every question as agreed", self._bad == 0, float(self._bad))

    def _earn(self) -> None:
        """Have the attacker own the amount and a fee."""
        needed = base_units(self._asked.amount)
        for _ in range(_MOST_BLOCKS):
            if self._attacker.balance(self._attacker.wallet) > needed:
                break
            self._attacker.mine()
        self._agree()

    def _wait_for_belief(self, payment: str) -> int | None:
        """The confirmations at which the application credits the payment; None: it does not."""
        lab, shop = self._lab, self._shop
        for depth in range(self._asked.depth + 1):
            if depth:
                shop.mine()
                lab.wait(
                    lambda depth=depth: (shop.depth(payment) or 0) >= depth,  # type: ignore[misc]
                    within=_WITHIN,
                    until=f"the payment has {depth} confirmations",
                )
            if self._comes_to("credited", payment):
                lab.say(f"The application believes the payment at {depth} confirmations.")
                return depth
        lab.say(f"The application does not believe the payment at {self._asked.depth} confirmations.")
        return None

    def _undo(self, payment: str, believed: int) -> None:
        lab, attacker, shop = self._lab, self._attacker, self._shop
        while attacker.tip().chainwork <= shop.tip().chainwork:
            attacker.mine()
        lab.say(f"{attacker.name} has found {believed + 1} blocks in secret, and shows them.")
        lab.heal()
        self._agree()
        self._check("the payment was undone", not shop.depth(payment), None)
        self._check(
            f"the application notices within {self._asked.wait:g} s that the payment has gone",
            self._comes_to("not credited", payment),
            None,
        )

    def _comes_to(self, wanted: State, payment: str) -> bool:
        """Whether the application says this before the time that it gets is over."""
        deadline = self._lab.now + self._asked.wait
        while (state := self._application.ask(self._payment(payment))) != wanted:
            self._bad += state in ("nonsense", "no answer")
            if self._lab.now >= deadline:
                return False
            self._lab.run_for(_LOOK)
        return True

    def _payment(self, id: str) -> Payment:
        return Payment(id, self._asked.pay_to, self._asked.amount)

    def _agree(self) -> None:
        def agree() -> bool:
            running: list[LabNode] = [node for node in self._lab.nodes if node.state == "running"]
            return len({node.tip().hash for node in running}) == 1

        self._lab.wait(agree, within=_WITHIN, until="all nodes have one tip")
