"""Selfish mining, as I. Eyal and E. G. Sirer describe it: Majority is not enough (2014), algorithm 1."""

from lab.strategy import WAIT, Action, View, publish_all


class Selfish:
    """Withholds its blocks, and shows them when others find some of the same height, so that the others' are in vain.

    It does not look at hashes: in a tie it behaves as if it did not know which block the others took.
    """

    name = "selfish"

    def __init__(self) -> None:
        self._tie = False  # our only block competes with one of the same height

    def on_found(self, view: View) -> Action:
        if self._tie:  # our next block decides it
            self._tie = False
            return publish_all(view)
        return WAIT if self.withholds(view) else publish_all(view)

    def withholds(self, view: View) -> bool:
        """Whether to keep the block that was found now, while nothing competes with it."""
        return True

    def on_heard(self, view: View) -> Action:
        if view.block != view.public:
            return WAIT  # it lost against another one, and the public branch is no longer for it
        self._tie = False
        if not view.private or view.lead < 0:
            return Action(give_up=True)
        if view.lead == 0:
            self._tie = True
            return publish_all(view)
        if view.lead == 1:  # one more and we would have nothing in store: take all others' blocks from the chain now
            return publish_all(view)
        # Show as many blocks as the public branch has: the others are divided, and there are still some in store.
        level = sum(block.height <= view.public.height for block in view.withheld)
        return Action(publish=level)
