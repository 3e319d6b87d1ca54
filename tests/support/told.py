"""A strategy of the lab that does what a test says."""

from collections.abc import Callable

from lab.strategy import WAIT, Action, View


class Told:
    """Does what a test says, and remembers what it was asked."""

    name = "told"

    def __init__(self, answer: Callable[[View], Action] = lambda view: WAIT) -> None:
        self.answer = answer
        self.found: list[View] = []
        self.heard: list[View] = []
        self.views: list[View] = []  # both, as they came

    def on_found(self, view: View) -> Action:
        self.found.append(view)
        self.views.append(view)
        return self.answer(view)

    def on_heard(self, view: View) -> Action:
        self.heard.append(view)
        self.views.append(view)
        return self.answer(view)
