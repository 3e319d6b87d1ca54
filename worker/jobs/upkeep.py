"""Housekeeping: what must be looked after even when nobody asks."""

from services.peers.resolver import DISCOVERY_SECONDS
from worker import context
from worker.ticker import HOUSEKEEPING_SECONDS

# The whole quick check runs once in this many seconds.
CHECK_SECONDS = 3600


def housekeeping(node: str) -> int:
    """Bring back lost work and expire what is old; how many transactions expired. Safe to run at any time."""
    served = context.current().node(node)
    served.reorganiser.finish()
    served.rounds.reconcile()
    served.announcer.transactions_waiting()
    served.reorganiser.forget_abandoned()
    if served.clock.now() % CHECK_SECONDS < HOUSEKEEPING_SECONDS:
        served.watchman.now()
    else:
        served.watchman.sample()
    if served.clock.now() % DISCOVERY_SECONDS < HOUSEKEEPING_SECONDS:
        served.resolver.discover(served.settings.public_url)
    return served.mempool.expire()
