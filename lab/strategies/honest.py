"""What every ordinary node does."""

from lab.strategy import WAIT, Action, View, publish_all


class Honest:
    """Publishes each block at once and works on the best tip. Copy this class to begin a strategy of your own."""

    name = "honest"

    def on_found(self, view: View) -> Action:
        return publish_all(view)

    def on_heard(self, view: View) -> Action:
        return WAIT
