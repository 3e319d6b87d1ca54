"""The network jobs: agree with peers, and tell them. Until its chain has begun, a node does neither."""

import structlog

from services.jobs.queues import HEARD
from worker.context import begun_node

_log = structlog.get_logger(__name__)


def resolve(name: str, which: str = "") -> bool:
    """Adopt the best valid chain among the peers; whether ours changed. Safe at any time.

    Args:
        which: "": all peers, as scheduled; `HEARD`: those that are said to have a new block; else one peer's URL.
    """
    node = begun_node(name)
    if node is None or node.faults.read() is not None:  # marked as wrong: `/status` says so, and no peer is asked
        return False
    if which == HEARD:
        resolution = node.resolver.resolve_heard()
    else:
        resolution = node.resolver.resolve(which or None)
    for note in resolution.notes:
        _log.info("peer_passed_over", node=name, reason=note)
    return resolution.replaced


def discover(name: str) -> None:
    """Ask one peer, each time another, for its peers, and keep them as candidates."""
    node = begun_node(name)
    if node is not None and node.faults.read() is None:
        node.resolver.discover(node.settings.public_url)


def answer(name: str, number: str) -> bool:
    """Resolve for the `number`-th request to `/nodes/resolve`, unless a run that began after it has done so already."""
    node = begun_node(name)
    return node is not None and node.consensus.answer(int(number))


def announce(name: str, tip: str) -> int:
    """Tell all peers of a tip, unless it has moved since; how many were told."""
    node = begun_node(name)
    return 0 if node is None else node.announcer.announce(tip)


def relay(name: str) -> int:
    """Hand new transactions on to all peers; how many."""
    node = begun_node(name)
    return 0 if node is None else node.announcer.relay()
