"""Housekeeping: what must be looked after even when nobody asks."""

from worker import context


def housekeeping(node: str) -> int:
    """Bring back lost searches and expire old transactions; how many expired. Safe to run at any time, any number of
    times.
    """
    served = context.current().node(node)
    served.rounds.reconcile()
    return served.mempool.expire()
