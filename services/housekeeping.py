"""Housekeeping: what the ticker does every five seconds (worker/housekeeper.py)."""

from services.node import Node

HOUSEKEEPING_SECONDS = 5
# Once in this many seconds the whole quick check of the stored state runs.
CHECK_SECONDS = 3600


def keep_house(node: Node, *, check_all: bool = False) -> int:
    """Bring back lost work, drop what has expired, pack old blocks, and check the stored state.

    Returns how many transactions expired.

    Safe at any time, also if two processes do it at once. No peer is asked for anything, so no peer can slow it down.

    Args:
        check_all: run the whole quick check. Otherwise some blocks are compared with what is stored of them.
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
    node.packer.run()
    return node.mempool.expire()


def take_slot(node: Node) -> bool:
    """Take the current slot of `HOUSEKEEPING_SECONDS`. Returns whether the caller has it, and does the housekeeping."""
    return node.slots.take(node.clock.now(), HOUSEKEEPING_SECONDS)
