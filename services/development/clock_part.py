"""The clock of a chain as a part of a state file (services/store/block_times.py)."""

from dataclasses import asdict, replace
from typing import Any

from services.chain.reorganiser import Branch
from services.development.clock import ChainClock
from services.development.state_file import BadState
from services.store.block_times import LAST_MOMENT, PLAIN, BlockTimes
from services.store.chain import ChainStore


class ClockPart:
    """The clock of one node's chain, in seconds: its offset, the next block's timestamp, the interval."""

    name = "clock"

    def __init__(self, chain: ChainStore, clock: ChainClock) -> None:
        self._chain = chain
        self._clock = clock

    def dump(self) -> Any:
        """None while the clock is the node's."""
        times = self._chain.tip().times
        return None if times.are_plain else asdict(times)

    def check(self, value: Any) -> None:
        """Raises: BadState."""
        _read(value)

    def load(self, value: Any) -> None:
        """Set the clock. Raises: Busy: `contended`."""
        self._clock.put(PLAIN if value is None else _read(value))


def allow_any_time(branch: Branch) -> None:
    """Let no block of a branch be too early.

    The timestamps of a chain whose clock was moved do not follow the clock of the node that loads it, and the clock may
    have been moved back since.
    """
    branch.old_tip = replace(branch.old_tip, times=BlockTimes(next=LAST_MOMENT))


def _read(value: Any) -> BlockTimes:
    names = {"offset", "next", "interval"}
    if not isinstance(value, dict) or value.keys() != names:
        raise BadState("The clock of the state does not have offset, next and interval.")
    for name in names:
        if type(value[name]) not in (int, type(None)) or abs(value[name] or 0) > LAST_MOMENT:
            raise BadState(f"The clock of the state has a bad {name}.")
    return BlockTimes(**value)
