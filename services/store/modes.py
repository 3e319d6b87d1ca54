"""How a node mines, as control methods have set it, and the beat of interval mining (services/mining/modes.py)."""

from dataclasses import dataclass

from services.store.base import NodeStore


@dataclass(frozen=True, slots=True)
class ChosenModes:
    """What control methods have set since the node started. None: the settings hold."""

    automine: bool | None
    interval: float | None  # seconds between two blocks; 0: no interval


class ModesStore(NodeStore):
    """The mining modes of one node."""

    def read(self) -> ChosenModes:
        automine, interval = self._redis.hmget(self.keys.modes, ["automine", "interval"])
        return ChosenModes(
            None if automine is None else automine == b"1",
            None if interval is None else float(interval),
        )

    def choose(self, now: float, *, automine: bool | None = None, interval: float | None = None) -> None:
        """Set one mode or both; None leaves what holds. `now`: Unix seconds, from which an interval is counted."""
        args = ["" if automine is None else int(automine), "" if interval is None else interval, now]
        self._scripts.run("set_modes", [self.keys.prefix], args)

    def forget(self) -> None:
        """Let the settings hold again."""
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.delete(self.keys.modes, self.keys.pulse)
        pipeline.execute()

    def beat(self, request_id: str, now: float, interval: float, cap: int) -> tuple[bool, float | None]:
        """Add a mining request if the interval is over.

        Args:
            now: Unix seconds.
            interval: what the settings say, in seconds; 0: none.
            cap: how many requests may wait.

        Returns:
            whether the request was added, and in how many seconds the interval is over; None: there is no interval.
        """
        added, wait = self._scripts.run("pulse", [self.keys.prefix], [request_id, now, interval, cap])
        return bool(added), float(wait) if wait else None
