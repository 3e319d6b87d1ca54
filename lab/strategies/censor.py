"""Censorship: payments that a miner does not want in the chain."""

from collections.abc import Callable

from lab.strategy import WAIT, Action, View, publish_all
from shared.forkchoice import is_better


class Censor:
    """Leaves certain payments out of its own blocks, and works against blocks of others that hold one.

    When it hears of such a block it works on the block's parent instead. It gives up when the public branch is more
    than `patience` blocks ahead. With less than half of the hash rate it mostly loses, yet others who know of it risk
    their block when they take such a payment ("feather forking", A. Miller, 2013). With more than half and endless
    patience, the payment never stays in the chain.

    Args:
        unwanted: whether a payment, named by its id, is to be kept out.
        patience: blocks; `math.inf` for never giving up.
    """

    name = "censor"

    def __init__(self, unwanted: Callable[[str], bool], patience: float = 2) -> None:
        self.unwanted = unwanted
        self.patience = patience
        self._against = False

    def takes(self, transaction: str) -> bool:
        return not self.unwanted(transaction)

    def on_found(self, view: View) -> Action:
        if self._against and not is_better(view.tip.claim, view.public.claim):
            return WAIT
        self._against = False
        return publish_all(view)

    def on_heard(self, view: View) -> Action:
        if self._against:
            if -view.lead <= self.patience:
                return WAIT
            self._against = False
            return Action(give_up=True)
        if view.public == view.block and any(self.unwanted(payment) for payment in view.block.transactions):
            self._against = True
            return Action(onto=view.block.parent)
        return WAIT
