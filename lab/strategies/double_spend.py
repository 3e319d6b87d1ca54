"""Undoing a payment: the attacker of M. Rosenfeld, Analysis of hashrate-based double-spending (2014)."""

from collections.abc import Callable

from lab.formulas import GIVE_UP
from lab.strategy import WAIT, Action, View, publish_all
from shared.forkchoice import TipClaim, is_better


class DoubleSpender:
    """Pays a shop in public, and mines in secret on a branch without the payment.

    It begins when it has found one block that nobody knows: `ready` is true then, and the payment should be made, which
    the others' next block holds. When the payment has its confirmations and the secret branch is better, it is
    published. When it is `give_up` blocks behind, the attempt has failed, and the next block begins another.

    Args:
        confirmations: how many the shop waits for.
        ties: publish also a branch of equal length, if its tip has the lower hash. Rosenfeld's attacker does not.
        better: the rule by which nodes choose between two tips.
    """

    name = "double spend"

    def __init__(
        self,
        confirmations: int = 6,
        *,
        give_up: int = GIVE_UP,
        ties: bool = False,
        better: Callable[[TipClaim, TipClaim], bool] = is_better,
    ) -> None:
        self.confirmations = confirmations
        self.give_up = give_up
        self.ties = ties
        self.won = 0  # attempts
        self.lost = 0
        self._better = better

    ready = False  # a block is in store: pay now

    def takes(self, transaction: str) -> bool:
        return False  # its branch undoes payments, and so holds none

    def on_found(self, view: View) -> Action:
        self.ready = True
        return self._decide(view)

    def on_heard(self, view: View) -> Action:
        return self._decide(view) if view.private else WAIT

    def _decide(self, view: View) -> Action:
        confirmed = view.public.height - view.fork.height
        if confirmed >= self.confirmations and self._wins(view):
            self.won += 1
            self.ready = False
            return publish_all(view)
        if view.lead <= -self.give_up:
            self.lost += 1
            self.ready = False
            return Action(give_up=True)
        return WAIT

    def _wins(self, view: View) -> bool:
        if self.ties:
            return self._better(view.tip.claim, view.public.claim)
        return view.tip.chainwork > view.public.chainwork
