"""Housekeeping's turns: each is taken once, however many tickers run."""

from services.store.base import NodeStore


class Slots(NodeStore):
    """The turns of one node."""

    def take(self, now: float, seconds: float) -> bool:
        """Whether the current turn of `seconds` is the caller's. `now`: Unix seconds."""
        return bool(self._scripts.run("keep", [self.keys.prefix], [now, seconds]))
