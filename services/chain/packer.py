"""Packing the old blocks of a chain, a little at each housekeeping (services/store/packing.py)."""

from dataclasses import dataclass

from services.ports import Clock
from services.store.packing import PackStore

# Seconds that one run takes at most, but for its last pack: a twentieth of the time between two runs.
_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Packer:
    """Packs the blocks of one node that lie `depth` or more below the tip; 0: none."""

    packs: PackStore
    clock: Clock
    depth: int

    def run(self) -> int:
        """Pack for _SECONDS at most. Returns how many blocks were packed, or passed over since they cannot be.

        Safe at any time, also if two processes do it at once.
        """
        done, began = 0, self.clock.now()
        while self.depth and (count := self.packs.pack_next(self.depth, self.clock.now)):
            done += count
            if not 0 <= self.clock.now() - began < _SECONDS:
                break
        return done
