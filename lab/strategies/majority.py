"""The attack that no rule prevents: more than half of the hash rate."""

from lab.strategy import WAIT, Action, View, publish_all


class Majority:
    """Never works on a block of others. With more than half of the hash rate, all blocks of the chain become its own.

    It withholds its branch until the public one has grown by `depth` blocks and its own is longer, and publishes it
    then: all `depth` blocks are undone at once. It never gives up, since with a majority it always comes back.
    """

    name = "majority"

    def __init__(self, depth: int = 6) -> None:
        self.depth = depth
        self.rewritten = 0  # blocks of others that were undone

    def on_found(self, view: View) -> Action:
        return self._publish_if_longer(view)

    def on_heard(self, view: View) -> Action:
        if not view.private and view.lead == 0 and view.block == view.public:  # else it would follow the block
            return Action(onto=view.block.parent)
        return self._publish_if_longer(view)

    def _publish_if_longer(self, view: View) -> Action:
        grown = view.public.height - view.fork.height
        if view.tip.chainwork > view.public.chainwork and grown >= self.depth:
            self.rewritten += grown
            return publish_all(view)
        return WAIT
