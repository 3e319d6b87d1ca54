"""Housekeeping as a job. Quarry does not enqueue it, since the ticker does the same (worker/housekeeper.py). It remains
on the list of jobs so that an operator can enqueue it by hand.
"""

from services.housekeeping import keep_house
from worker.context import begun_node


def housekeeping(name: str) -> int:
    """Do the housekeeping of a node (`keep_house`); how many transactions expired. Safe to run at any time."""
    node = begun_node(name)
    return 0 if node is None else keep_house(node)
