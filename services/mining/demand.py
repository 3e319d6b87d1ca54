"""How many mining workers a round wants, for what starts and stops them (KEDA, or a person).

The queue is no measure of it: it is empty while a long round runs.
"""

import math

from services.store.figures import RoundFigures
from services.store.rounds import Round
from shared.chain_spec import ChainSpec

# As the ceiling for a hash rate that was measured low by chance: no more than this is ever asked for.
MOST_WORKERS = 1000


def workers_wanted(
    spec: ChainSpec, found: Round | None, figures: RoundFigures | None, *, round_seconds: float, hash_rate: int
) -> int:
    """How many workers should search.

    With a constant difficulty: as many as find a block every `round_seconds` on average. Where the difficulty follows
    the hash rate, any number of workers gives the same interval, so as many as give `hash_rate` together; 0: one.
    0 while no round is open; 1 while the speed of a worker is not known, since nobody searches.

    Args:
        found: the open round; None: there is none.
        figures: of that round.
        round_seconds: QUARRY_TARGET_ROUND.
        hash_rate: hashes per second, QUARRY_TARGET_RATE.
    """
    if found is None:
        return 0
    rates = [worker.rate for worker in figures.workers if worker.searches and worker.rate] if figures else []
    if not rates:
        return 1
    each = sum(rates) / len(rates)
    wanted = found.difficulty / round_seconds if not spec.block_interval else hash_rate
    return max(1, min(MOST_WORKERS, math.ceil(wanted / each)))
