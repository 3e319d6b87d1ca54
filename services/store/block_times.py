"""The clock of a development chain: what its tests have asked of the timestamps of the next blocks.

It is part of the tip's hash in Redis, so that everything that makes or judges a block reads it with the tip, at one
moment and without another round trip. Without it, as on every other chain, timestamps follow the node's clock.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from services.errors import TipMoved
from services.store.base import NodeStore

# The last timestamp that can be asked for: the end of the year 9999, where Python's calendar ends.
LAST_MOMENT = 253_402_300_799
_WHOLE = re.compile(rb"(?=.{1,15}\Z)-?[0-9]+")
# Fields of the tip's hash.
_OFFSET, _NEXT, _INTERVAL = b"time_offset", b"next_timestamp", b"timestamp_interval"


@dataclass(frozen=True, slots=True)
class BlockTimes:
    """What the timestamps of the next blocks depend on besides the node's clock. Times are in seconds."""

    offset: int | None = None  # from the node's clock to the chain's; None: it was never moved
    next: int | None = None  # the next block's timestamp, for that block only
    interval: int | None = None  # from a block's timestamp to the next one's

    @property
    def are_plain(self) -> bool:
        """Whether timestamps are those of the node's clock."""
        return self.offset is None and self.next is None and self.interval is None

    def limit(self, now: float, parent: float) -> float:
        """The time by which a block counts as too early. The consensus rules allow some seconds more.

        Args:
            now: the node's clock, Unix seconds.
            parent: the timestamp of the block's parent.
        """
        limit = now + (self.offset or 0)
        if self.interval is not None:
            limit = max(limit, parent + self.interval)
        return limit if self.next is None else max(limit, self.next)

    def following(self, now: float, parent: float, ahead: int) -> float:
        """The timestamp that the next block gets. The consensus rules may raise it to the median of the last blocks.

        Once the clock was moved, timestamps rise with each block, as in anvil, while the blocks are not more than
        `ahead` seconds ahead of the clock.

        Args:
            now, parent: as for `limit`.
            ahead: seconds that a block may be ahead of the clock (`shared.timestamps.max_ahead`).
        """
        if self.next is not None:
            return self.next
        if self.interval is not None:
            return min(parent + self.interval, LAST_MOMENT)
        if self.offset is None:
            return now
        clock = math.floor(now) + self.offset
        return max(clock, min(parent + 1, clock + ahead))

    @classmethod
    def read(cls, fields: Mapping[bytes, bytes]) -> "BlockTimes":
        """The times in the fields of the tip. One that is damaged counts as not set: nothing else tells what it was."""
        if _OFFSET not in fields and _NEXT not in fields and _INTERVAL not in fields:
            return PLAIN
        return cls(*(_read(fields.get(name, b"")) for name in (_OFFSET, _NEXT, _INTERVAL)))


PLAIN = BlockTimes()


def _read(value: bytes) -> int | None:
    return int(value) if _WHOLE.fullmatch(value) else None


class BlockTimesStore(NodeStore):
    """Changes the clock of one node's chain."""

    def change(self, tip: str, before: BlockTimes, after: BlockTimes) -> None:
        """Write `after`, and have the open round, if there is one, make its template anew.

        Args:
            tip: hash of the tip for which the change was judged.
            before: the times that were read with it.

        Raises:
            TipMoved: the tip is another, or the times are. Nothing is written.
        """
        args = [
            tip,
            *(_text(value) for times in (before, after) for value in (times.offset, times.next, times.interval)),
        ]
        if self._scripts.run("set_times", [self.keys.prefix], args) != b"set":
            raise TipMoved("The tip or the clock moved while the clock was set.")


def _text(value: int | None) -> str:
    return "" if value is None else str(value)
