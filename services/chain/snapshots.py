"""The ledger at a recent height, from the undo records: wallets ask at the height that they last saw.

An undo record holds the entries that its block changed, as they were before. So the value at a height is in the first
record above it that names the entry, or, if none does, in the ledger itself. The ledger at height 0, before genesis, is
in the chain spec: its allocations.
"""

from functools import lru_cache

from services.errors import NotFound, TipMoved
from services.store.chain import ChainStore
from services.store.records import Tip, allowance_field, decode_account
from shared.ledger import NO_ACCOUNT, Account, Entries, Touched

# Blocks back from the tip. Older states would take a replay, so they are refused.
DEPTH = 128
_ATTEMPTS = 10
_SUPPLY = b'"supply":"'


class StateUnavailable(NotFound):
    """The state at that height is too old to be answered."""


class HeightUnknown(NotFound):
    """The chain has no block at that height."""


class Snapshots:
    """Accounts and allowances at the last `DEPTH` heights, at the tip, and at height 0. A height of None means the tip.

    Every method raises:
        HeightUnknown, StateUnavailable: no answer is possible for `height`.
        TipMoved: the chain changed at every attempt to read it.
        Damaged: an undo record is not what was written.
    """

    def __init__(self, chain: ChainStore, initial: Entries) -> None:
        """`initial`: the ledger that the chain begins with."""
        self._chain = chain
        self._initial = initial
        # Records never change. They are kept and searched as text: decoding the record of a full block (some 300 kB)
        # takes ten times as long and as much memory.
        self._undo = lru_cache(maxsize=DEPTH + 8)(chain.undo_text)

    def account(self, address: str, height: int | None) -> Account:
        """The account after the block at `height`."""
        if height is None:
            return self._chain.account(address)
        if height == 0:
            return self._initial.accounts.get(address, NO_ACCOUNT)
        texts, now = self._since(height, Touched(frozenset({address}), frozenset()))
        found = _first(texts, f'"{address}":"'.encode())
        return now.accounts[address] if found is None else decode_account(found)

    def allowance(self, owner: str, spender: str, height: int | None) -> int:
        """The allowance after the block at `height`, in base units."""
        if height is None:
            return self._chain.allowance(owner, spender)
        if height == 0:
            return self._initial.allowances.get((owner, spender), 0)
        pair = (owner, spender)
        texts, now = self._since(height, Touched(frozenset(), frozenset({pair})))
        found = _first(texts, f'"{allowance_field(pair)}":"'.encode())
        return now.allowances[pair] if found is None else int(found)

    def supply(self, height: int | None) -> int:
        """All coins after the block at `height`, in base units."""
        if height is None:
            return self._chain.tip().supply
        if height == 0:
            return self._initial.supply
        texts, now = self._since(height, Touched(frozenset(), frozenset()))
        found = _first(texts, _SUPPLY)
        return now.supply if found is None else int(found)

    def require_height(self, height: int | None) -> None:
        """Refuse a height that the chain does not have."""
        if height is not None and not 0 <= height <= self._chain.tip().height:
            raise HeightUnknown("The chain has no block at that height.")

    def _since(self, height: int, wanted: Touched) -> tuple[list[bytes], Entries]:
        """Undo records of the blocks above `height`, oldest first, and the ledger that they lead back from."""
        for _ in range(_ATTEMPTS):
            tip, now = self._chain.entries(wanted)
            hashes = self._above(height, tip)
            if hashes is not None:
                return [self._undo(block_hash) for block_hash in hashes], now
        raise TipMoved("The chain changed while its past was read.")

    def _above(self, height: int, tip: Tip) -> list[str] | None:
        """Hashes of the blocks above `height` up to `tip`, oldest first. None: `tip` is not the tip any more."""
        if not 1 <= height <= tip.height:
            raise HeightUnknown("The chain has no block at that height.")
        if height < tip.height - DEPTH:
            raise StateUnavailable(f"the state is kept for the last {DEPTH} blocks")
        if height == tip.height:
            return []
        hashes = self._chain.hashes(height + 1, tip.height - height)
        return hashes if hashes and hashes[-1] == tip.hash else None


def _first(texts: list[bytes], key: bytes) -> bytes | None:
    """The value that follows `key` in the first text that has it.

    `encode_entries` writes keys and values in double quotes, without spaces; neither ever holds a quote.
    """
    for text in texts:
        start = text.find(key)
        if start >= 0:
            start += len(key)
            return text[start : text.index(b'"', start)]
    return None
