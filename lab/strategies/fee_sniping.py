"""Fee sniping: a block that earned high fees is worth replacing."""

from lab.strategy import WAIT, Action, View, publish_all
from shared.forkchoice import is_better


class FeeSniper:
    """Works on the parent of a block with high fees, to have these fees for itself.

    Args:
        least: base units of fees from which a block is worth it.
        patience: how many blocks behind the public branch it may fall; one more, and it gives up.
    """

    name = "fee sniping"

    def __init__(self, least: int, patience: int = 1) -> None:
        self.least = least
        self.patience = patience
        self.won = 0
        self.lost = 0
        self._sniping = False

    def on_found(self, view: View) -> Action:
        if not self._sniping:
            return publish_all(view)
        if not is_better(view.tip.claim, view.public.claim):
            return WAIT  # it would lose the tie: the next block may decide
        self.won += 1
        self._sniping = False
        return publish_all(view)

    def on_heard(self, view: View) -> Action:
        if self._sniping and -view.lead > self.patience:
            self.lost += 1
            self._sniping = False
            return Action(give_up=True)
        if not self._sniping and view.public == view.block and view.block.fees >= self.least:
            self._sniping = True
            return Action(onto=view.block.parent)
        return WAIT
