"""Housekeeping as a job. The ticker does it by itself (worker/housekeeper.py); a job does the same, whoever asks."""

from services.housekeeping import keep_house
from worker.context import begun_node


def housekeeping(name: str) -> int:
    """Bring back lost work and expire what is old; how many transactions expired. Safe to run at any time."""
    node = begun_node(name)
    return 0 if node is None else keep_house(node)
