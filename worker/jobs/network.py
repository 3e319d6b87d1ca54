"""The network jobs: adopt better chains, find new peers, announce blocks, relay transactions, sign templates.

Before the node's chain has begun, they do nothing.
"""

import structlog

from services.jobs.queues import HEARD
from worker.context import begun_node

_log = structlog.get_logger(__name__)


def resolve(name: str, which: str = "") -> bool:
    """Adopt the best valid chain among the peers. Returns whether ours changed. Safe to run at any time.

    Args:
        which: "": all peers, as on the schedule; `HEARD`: those in whose name a block was announced; else one peer's
            URL.
    """
    node = begun_node(name)
    if node is None or node.faults.read() is not None:  # the stored state is wrong: nothing is adopted
        return False
    if which == HEARD:
        resolution = node.resolver.resolve_heard()
    else:
        resolution = node.resolver.resolve(which or None)
    for note in resolution.notes:
        _log.info("peer_passed_over", node=name, reason=note)
    return resolution.replaced


def discover(name: str) -> None:
    """Ask one peer for its peers, and keep them as candidates. Each run asks another peer."""
    node = begun_node(name)
    if node is not None and node.faults.read() is None:
        node.resolver.discover(node.settings.public_url)


def answer(name: str, number: str) -> bool:
    """Resolve for the `number`-th request to `/nodes/resolve`, unless a run that began after it has done so already."""
    node = begun_node(name)
    return node is not None and node.consensus.answer(int(number))


def announce(name: str, tip: str) -> int:
    """Announce a tip to all peers, unless the tip has changed since; how many peers were told."""
    node = begun_node(name)
    return 0 if node is None else node.announcer.announce(tip)


def relay(name: str) -> int:
    """Send new transactions to all peers; how many transactions."""
    node = begun_node(name)
    return 0 if node is None else node.announcer.relay()


def template(name: str, version: str) -> None:
    """Open the round that is wanted, or renew the template that still is `version`, for workers without a sealer's key.

    Args:
        version: of the template that is out of date; "": none is.
    """
    node = begun_node(name)
    if node is not None:
        node.rounds.refresh(version)
