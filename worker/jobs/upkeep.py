"""Housekeeping as a job. The ticker does it by itself (worker/housekeeper.py); a job does the same, whoever asks."""

from services.housekeeping import keep_house
from worker import context


def housekeeping(node: str) -> int:
    """Bring back lost work and expire what is old; how many transactions expired. Safe to run at any time."""
    served = context.begun(node)
    return 0 if served is None else keep_house(served)
