"""The slots of housekeeping, of a fixed length. Each is taken once, however many tickers run."""

from services.store.base import NodeStore


class Slots(NodeStore):
    """The slots of one node."""

    def take(self, now: float, seconds: float) -> bool:
        """Take the current slot of `seconds`; False if it is taken. `now`: Unix seconds."""
        return bool(self._scripts.run("keep", [self.keys.prefix], [now, seconds]))
