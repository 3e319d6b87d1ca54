"""The clock of a development chain: moving the timestamps of the blocks to come.

Only timestamps follow it, and the check whether a block is too early. Expiry, pauses and deadlines go by the node's
clock. The names and the effects are anvil's.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace

from services.errors import Busy, PolicyError, TipMoved
from services.ports import Clock
from services.store.block_times import LAST_MOMENT, BlockTimes, BlockTimesStore
from services.store.chain import ChainStore
from services.store.records import Tip
from shared.block import Header
from shared.rules import Rules
from shared.timestamps import max_ahead, median_time

_ATTEMPTS = 20


class ChainClock:
    """The clock of one node's chain."""

    def __init__(
        self, chain: ChainStore, store: BlockTimesStore, rules: Rules, clock: Clock, has_peers: Callable[[], bool]
    ) -> None:
        self._chain = chain
        self._store = store
        self._clock = clock
        self._has_peers = has_peers
        self._spec = rules.spec

    def offset(self) -> int:
        """Seconds from the node's clock to the chain's; 0 while they are the same."""
        return self._chain.tip().times.offset or 0

    def asked(self) -> int | None:
        """The timestamp that `set_next` has set for the next block; None: there is none."""
        return self._chain.tip().times.next

    def following(self) -> int:
        """The timestamp that the next block gets if it is mined now, Unix seconds."""
        tip, window = self._read()
        return self._following(tip, window, tip.times)

    def increase(self, seconds: int) -> int:
        """Move the clock forward, so that the next block is at least `seconds` after the last one. Returns the offset
        afterwards.

        Raises:
            PolicyError: `bad_time`.
            Busy: `contended`.
        """

        def moved(tip: Tip, window: Sequence[Header]) -> BlockTimes:
            offset = tip.times.offset
            if offset is None:
                return replace(tip.times, offset=seconds)
            # Blocks in one second have rising timestamps, so the last may be ahead of the clock.
            return replace(tip.times, offset=max(offset, int(tip.timestamp) - math.floor(self._clock.now())) + seconds)

        return self._change(moved).offset or 0

    def set(self, timestamp: int) -> int:
        """Set the clock, forward or back. A timestamp that was asked for the next block is forgotten.

        Returns:
            seconds by which the clock was moved forward; 0 if it was moved back.

        Raises:
            PolicyError: `bad_time`: before the median of the last blocks, or too far ahead.
            Busy: `contended`.
        """
        before = math.floor(self._clock.now()) + self.offset()

        def moved(tip: Tip, window: Sequence[Header]) -> BlockTimes:
            earliest = median_time(window)
            if timestamp < earliest:
                raise _bad(f"{timestamp} is before {earliest}, the median of the last 11 blocks' timestamps.")
            return replace(tip.times, offset=timestamp - math.floor(self._clock.now()), next=None)

        self._change(moved)
        return max(0, timestamp - before)

    def set_next(self, timestamp: int) -> None:
        """Set the timestamp of the next block that this node mines. The clock goes on from it.

        Raises:
            PolicyError: `bad_time`: before the last block's, or too far ahead.
            Busy: `contended`.
        """

        def moved(tip: Tip, window: Sequence[Header]) -> BlockTimes:
            earliest = max(int(tip.timestamp), median_time(window))
            if timestamp < earliest:
                raise _bad(f"{timestamp} is lower than previous block's timestamp, {earliest}.")
            return replace(tip.times, next=timestamp)

        self._change(moved)

    def set_interval(self, seconds: int) -> None:
        """Let each block that this node mines have its parent's timestamp and `seconds`, whenever it is mined.

        Raises:
            PolicyError: `bad_time`: too long, or the node has peers, which would sooner or later refuse the blocks.
            Busy: `contended`.
        """
        if self._has_peers():
            raise _bad("this node has peers, whose clocks do not follow an interval between timestamps.")

        def moved(tip: Tip, window: Sequence[Header]) -> BlockTimes:
            if tip.timestamp + seconds > LAST_MOMENT:
                raise _bad(_too_late(int(tip.timestamp) + seconds))
            return replace(tip.times, interval=seconds)

        self._change(moved)

    def remove_interval(self) -> bool:
        """Undo `set_interval`. Returns whether there was an interval.

        Raises:
            Busy: `contended`.
        """
        if self._chain.tip().times.interval is None:
            return False

        def moved(tip: Tip, window: Sequence[Header]) -> BlockTimes:
            return replace(tip.times, interval=None, offset=tip.times.offset or 0)

        self._change(moved)
        return True

    def kept(self) -> dict[str, str]:
        """What a snapshot keeps of the clock; `restore` takes it."""
        times = asdict(self._chain.tip().times)
        return {f"clock_{name}": str(value) for name, value in times.items() if value is not None}

    def restore(self, kept: Mapping[str, str]) -> None:
        """Set the clock to what it was when `kept` returned this.

        Raises:
            Busy: `contended`.
        """
        names = ("offset", "next", "interval")
        self.put(BlockTimes(**{name: int(kept[f"clock_{name}"]) for name in names if f"clock_{name}" in kept}))

    def put(self, times: BlockTimes) -> None:
        """Set the clock to times that were possible once, so they are not judged again.

        Raises:
            Busy: `contended`.
        """
        for _ in range(_ATTEMPTS):
            tip = self._chain.tip()
            try:
                self._store.change(tip.hash, tip.times, times)
            except TipMoved:
                continue
            return
        raise Busy("contended", "Blocks follow one another too fast to set the clock between two of them; try again.")

    def _change(self, moved: Callable[[Tip, Sequence[Header]], BlockTimes]) -> BlockTimes:
        """Write the times that `moved` makes of the tip and its window, and return them."""
        for _ in range(_ATTEMPTS):
            try:
                tip, window = self._read()
                after = moved(tip, window)
                self._require_possible(tip, window, after)
                self._store.change(tip.hash, tip.times, after)
            except TipMoved:
                continue
            return after
        raise Busy("contended", "Blocks follow one another too fast to set the clock between two of them; try again.")

    def _require_possible(self, tip: Tip, window: Sequence[Header], after: BlockTimes) -> None:
        now = math.floor(self._clock.now())
        latest = max(self._following(tip, window, after), now + (after.offset or 0))
        if latest > LAST_MOMENT:
            raise _bad(_too_late(latest))
        ahead = self._ahead(tip)
        if latest > now + ahead and self._has_peers():
            raise _bad(
                f"this node has peers, and they refuse blocks more than {ahead} s ahead of their clocks; "
                f"{latest} is {latest - now} s ahead."
            )

    def _ahead(self, tip: Tip) -> int:
        """Seconds that the next block may be ahead of the clocks of peers."""
        return max_ahead(self._spec.at(tip.height + 1).block_interval)

    def _following(self, tip: Tip, window: Sequence[Header], times: BlockTimes) -> int:
        timestamp = times.following(self._clock.now(), tip.timestamp, self._ahead(tip))
        return max(int(timestamp), median_time(window))

    def _read(self) -> tuple[Tip, Sequence[Header]]:
        """The tip, and the headers that end at it."""
        for _ in range(_ATTEMPTS):
            tip = self._chain.tip()
            try:
                return tip, self._chain.window(tip)
            except TipMoved:
                continue
        raise Busy("contended", "The chain changed while its last blocks were read; try again.")


def _bad(reason: str) -> PolicyError:
    return PolicyError("bad_time", f"Timestamp error: {reason}")


def _too_late(timestamp: int) -> str:
    return f"{timestamp} is after {LAST_MOMENT}, the end of the year 9999."
