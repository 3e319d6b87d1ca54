"""Claims as mining workers make them, of a node whose desk is in the same process."""

from services.node import Node
from services.store.searches import Claim, Searched


def claim_of(
    node: Node,
    round_id: str,
    worker: str,
    wanted: int,
    searched: Searched,
    *,
    if_needed: bool = False,
    demand: float = 1e12,
) -> Claim | None:
    """Claim proofs; if the template is old, have the desk renew it and claim again. None: the round has ended."""
    for _ in range(3):
        found = node.searches.claim(round_id, worker, wanted, searched, if_needed=if_needed, demand=demand)
        if found is None or not found.is_old:
            return found
        searched = Searched()
        node.desk.work_off()
    raise AssertionError("the template stays old")
