"""Housekeeping: what must be looked after even when nobody asks."""

from services.node import Node

HOUSEKEEPING_SECONDS = 5
# The whole quick check of the stored state runs once in this many seconds.
CHECK_SECONDS = 3600


def keep_house(node: Node, *, check_all: bool = False) -> int:
    """Bring back lost work and expire what is old; how many transactions expired. Safe at any time, beside itself too.

    Some blocks are compared with what is stored of them; `check_all`: the whole quick check.

    It asks no peer for anything, so nobody outside can make it slow.
    """
    node.reorganiser.finish()
    if check_all:
        node.watchman.now()
    else:
        node.watchman.sample()
    node.rounds.reconcile()
    node.announcer.transactions_waiting()
    if node.rules.relays:
        node.announcer.remind()
    node.announcer.news_waiting()
    node.reorganiser.forget_abandoned()
    return node.mempool.expire()


def take_slot(node: Node) -> bool:
    """Whether the current slot of `HOUSEKEEPING_SECONDS` is the caller's to keep house in."""
    return node.slots.take(node.clock.now(), HOUSEKEEPING_SECONDS)
