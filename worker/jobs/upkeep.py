"""Housekeeping: what must be looked after even when nobody asks."""

from worker import context


def housekeeping(node: str) -> int:
    """Bring back lost work and expire what is old; how many transactions expired. Safe to run at any time."""
    served = context.current().node(node)
    served.reorganiser.finish()
    served.rounds.reconcile()
    served.announcer.transactions_waiting()
    served.reorganiser.forget_abandoned()
    return served.mempool.expire()
