"""The keys and names that tests share: who has money, who mines, and the admin's token."""

import itertools

from shared.keys import KeyPair

# Accounts with money: 1,000 coins each in the specs of specs.py, 100 for Alice in those of chains.py.
KEYS = tuple(KeyPair(bytes([number]) * 32) for number in range(1, 101))
ALICE, BOB, CAROL, DAVE = KEYS[:4]
# Has no money at genesis: its balance is what was mined.
MINER = KeyPair(bytes([255]) * 32).address
TOKEN = "the-long-admin-token-of-all-these-tests"

_fresh = itertools.cycle(KEYS[4:])


def fresh_key() -> KeyPair:
    """A key with money that no other test of this process has used: for tests on a node that others use too."""
    return next(_fresh)
