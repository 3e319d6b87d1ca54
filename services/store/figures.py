"""The figures of a round: hashes, speed, time left and probability, computed in one place.

Pages, events, `/rounds/{id}`, `/status`, `/metrics`, JSON-RPC and the command line show what `round_figures` returns.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.store.rounds import Round, RoundWorker

# Seconds. A worker that has not reported for so long has left the round, or is dead: it misses two of its reports
# (HEARTBEAT_SECONDS in services/mining/searches.py).
ACTIVE_SECONDS = 6.0


@dataclass(frozen=True, slots=True)
class WorkerFigures:
    """What one worker has done for a round."""

    name: str
    hashes: int
    rate: int  # hashes per second, while it searched
    searches: bool  # it takes part now


@dataclass(frozen=True, slots=True)
class RoundFigures:
    """What all workers have done for a round, and what is to be expected of it."""

    hashes: int
    rate: int  # hashes per second: of an open round, of those that search now; of an ended one, its average
    expected_seconds: float | None  # until a proof is found; None: the round has ended, or nobody searches
    probability: float  # 0 to 1: the share of searches of this difficulty that end within so many hashes
    workers: tuple[WorkerFigures, ...]  # by name

    def to_object(self) -> dict[str, Any]:
        """The figures as JSON shows them."""
        return {
            "hashes": self.hashes,
            "rate": self.rate,
            "expected_seconds": self.expected_seconds,
            "probability": self.probability,
            "workers": [{"name": item.name, "hashes": item.hashes, "rate": item.rate} for item in self.workers],
        }


def round_figures(found: Round, workers: Mapping[str, RoundWorker], now: float) -> RoundFigures:
    """The figures of a round at `now` (Unix seconds).

    A worker's speed is the average over the time in which it has searched this round, so it is steady, and a figure is
    there from the first report on. Where its share of a hash-rate limit changes, the average begins again. Every hash
    has the same chance, however many came before it: the rest of a round is expected to take as long as a whole one.
    """
    each = tuple(
        WorkerFigures(
            name, worker.hashes, worker.rate,
            found.is_open and now - worker.last < ACTIVE_SECONDS,
        )
        for name, worker in sorted(workers.items())
    )  # fmt: skip
    # The round's own count is read at another moment than the workers', and may differ from their sum.
    hashes = sum(item.hashes for item in each) if each else found.hashes
    if found.ended_at is None:
        rate = sum(item.rate for item in each if item.searches)
    else:
        rate = _rate(hashes, found.ended_at - found.opened_at)
    return RoundFigures(
        hashes=hashes,
        rate=rate,
        expected_seconds=round(found.difficulty / rate, 3) if rate and found.is_open else None,
        probability=round(-math.expm1(-hashes / found.difficulty), 4) if hashes and found.difficulty else 0.0,
        workers=each,
    )


def _rate(hashes: int, seconds: float) -> int:
    return int(hashes / seconds) if seconds > 0 else 0
