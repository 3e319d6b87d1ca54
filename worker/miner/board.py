"""What the processes of one miner share: whether to stop, the newest tip, and what was done."""

import multiprocessing
import time
from typing import Any, Literal

Count = Literal["hashes", "credited", "blocks", "late"]


# Between two looks whether the miner is told to stop.
_LOOK_SECONDS = 0.05


class Board:
    """Made before the processes are forked. Every method may be called from any process and thread."""

    def __init__(self) -> None:
        context: Any = multiprocessing.get_context("fork")  # typeshed leaves some of its values untyped
        # No lock: a signal may come while this very process waits, and its handler would wait for the same lock.
        self._stop = context.Value("b", 0, lock=False)
        self._tip = context.Array("c", 128)
        self._failure = context.Array("c", 512)
        self._counts: dict[Count, Any] = {
            name: context.Value("d", 0.0) for name in ("hashes", "credited", "blocks", "late")
        }
        self._away = context.Value("b", 0)
        self._door = context.Value("i", 0, lock=False)

    def stop(self) -> None:
        """Tell all processes to stop. It may be called by a signal's handler."""
        self._stop.value = 1

    @property
    def is_stopping(self) -> bool:
        return bool(self._stop.value)

    def wait(self, seconds: float) -> bool:
        """Wait, unless the miner is told to stop. Returns whether it is."""
        until = time.monotonic() + seconds
        while not self.is_stopping and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _LOOK_SECONDS))
        return self.is_stopping

    @property
    def tip(self) -> str:
        """The hash of the newest tip that was heard of; "" for none."""
        return bytes(self._tip.value).decode().partition(":")[2]

    def hear(self, height: int, tip: str) -> None:
        """Note the tip of the news."""
        self._tip.value = f"{height}:{tip}".encode()[:127]

    def hear_of_lease(self, height: int, tip: str) -> None:
        """Note the tip of a lease, unless the news has told a higher one. News may be late, or not come at all."""
        with self._tip.get_lock():
            known = bytes(self._tip.value).decode().partition(":")[0]
            if not known or height >= int(known):
                self.hear(height, tip)

    def forget_tip(self) -> None:
        self._tip.value = b""

    @property
    def failure(self) -> str:
        """Why the miner cannot go on; "" while it can."""
        return bytes(self._failure.value).decode(errors="replace")

    def fail(self, why: str) -> None:
        """Have all processes stop for a reason that waiting does not change."""
        self._failure.value = why.encode(errors="replace")[:511]
        self.stop()

    def add(self, name: Count, amount: float) -> None:
        with self._counts[name].get_lock():
            self._counts[name].value += amount

    def count(self, name: Count) -> int:
        return int(self._counts[name].value)

    @property
    def is_away(self) -> bool:
        """Whether the node did not answer when it was last asked."""
        return bool(self._away.value)

    @is_away.setter
    def is_away(self, away: bool) -> None:
        self._away.value = int(away)

    @property
    def door_port(self) -> int:
        """The port of the node's `quarry rpc`, while miners ask there; 0: they ask at the URL that was given."""
        return int(self._door.value)

    @door_port.setter
    def door_port(self, port: int) -> None:
        self._door.value = port
