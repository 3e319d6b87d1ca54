"""The ledger at a recent height, from the undo records: wallets ask at the height that they last saw."""

from functools import lru_cache

from services.errors import NotFound
from services.store.chain import ChainStore
from shared.ledger import Account, Entries

# Blocks back from the tip. Older states would need a replay, so they are refused by name.
DEPTH = 128


class StateUnavailable(NotFound):
    """The state at that height is too old to be answered, or the height is above the tip."""


class Snapshots:
    """Accounts and allowances at the last `DEPTH` heights."""

    def __init__(self, chain: ChainStore) -> None:
        self._chain = chain
        self._undo = lru_cache(maxsize=DEPTH + 8)(chain.undo)  # immutable, by block hash

    def account(self, address: str, height: int) -> Account:
        """The account after the block at `height`."""
        for before in self._since(height):
            found = before.accounts.get(address)
            if found is not None:
                return found
        return self._chain.account(address)

    def allowance(self, owner: str, spender: str, height: int) -> int:
        """The allowance after the block at `height`, in base units."""
        for before in self._since(height):
            found = before.allowances.get((owner, spender))
            if found is not None:
                return found
        return self._chain.allowance(owner, spender)

    def supply(self, height: int) -> int:
        """All coins after the block at `height`, in base units."""
        since = self._since(height)
        return since[0].supply if since else self._chain.tip().supply

    def _since(self, height: int) -> list[Entries]:
        """Undo records of the blocks above `height`, oldest first: the first that knows an entry has its value."""
        tip = self._chain.tip().height
        if height == tip:
            return []
        if not max(1, tip - DEPTH) <= height <= tip:
            raise StateUnavailable(f"State is kept for the last {DEPTH} blocks; the chain has {tip}.")
        headers = self._chain.headers(height + 1, tip - height)
        return [self._undo(stored.header.hash) for stored in headers]
