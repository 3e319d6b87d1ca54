"""Packing the old blocks of a chain, and pruning older ones, a little at each housekeeping (services/store/packing.py,
services/store/pruning.py).
"""

from collections.abc import Callable
from dataclasses import dataclass

from services.ports import Clock
from services.store.packing import PackStore
from services.store.pruning import PruneStore

# Seconds that one run takes at most, but for its last pack: a twentieth of the time between two runs.
_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Packer:
    """Packs the blocks of one node that lie `depth` or more below the tip, and removes the bodies of all packed blocks
    but the last `keep` of the chain; 0: none.
    """

    packs: PackStore
    prunes: PruneStore
    clock: Clock
    depth: int
    keep: int = 0

    def run(self) -> int:
        """Pack for _SECONDS at most, and prune likewise. Returns how many blocks were packed, or passed over since they
        cannot be, and pruned.

        Safe at any time, also if two processes do it at once.
        """
        done = self._repeat(lambda: self.packs.pack_next(self.depth, self.clock.now)) if self.depth else 0
        return done + (self._repeat(lambda: self.prunes.prune_next(self.keep, self.clock.now())) if self.keep else 0)

    def _repeat(self, step: Callable[[], int]) -> int:
        done, began = 0, self.clock.now()
        while count := step():
            done += count
            if not 0 <= self.clock.now() - began < _SECONDS:
                break
        return done
