"""The network jobs: agree with peers, and tell them. Before its chain has begun, a node does neither."""

import structlog

from services.jobs.queues import HEARD
from services.peers.claims import DISCOVERY_SECONDS
from worker import context

_log = structlog.get_logger(__name__)


def resolve(node: str, which: str = "") -> bool:
    """Adopt the best valid chain among the peers; whether ours changed. Safe at any time.

    Args:
        which: "": all, as scheduled; `HEARD`: those in whose name something was announced; else one peer's URL.
    """
    served = context.begun(node)
    if served is None or served.faults.read() is not None:  # marked: /status says why, and no peer is asked
        return False
    if which == HEARD:
        resolution = served.resolver.resolve_heard()
    else:
        resolution = served.resolver.resolve(which or None)
    for note in resolution.notes:
        _log.info("peer_passed_over", node=node, reason=note)
    if not which and served.clock.now() % DISCOVERY_SECONDS < served.settings.resolve_seconds:
        served.resolver.discover(served.settings.public_url)
    return resolution.replaced


def answer(node: str, number: str) -> bool:
    """Resolve because somebody asked over HTTP (the `number`-th), unless a later run has answered that already."""
    served = context.begun(node)
    return served is not None and served.consensus.answer(int(number))


def announce(node: str, tip: str) -> int:
    """Tell all peers of a tip, unless it has moved since; how many were told."""
    served = context.begun(node)
    return 0 if served is None else served.announcer.announce(tip)


def relay(node: str) -> int:
    """Hand new transactions on to all peers; how many."""
    served = context.begun(node)
    return 0 if served is None else served.announcer.relay()
