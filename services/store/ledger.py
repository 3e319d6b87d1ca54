"""Reading the ledger: accounts, allowances, and what they were before a block."""

from collections.abc import Iterator, Sequence

from services.errors import NotFound
from services.store.base import NodeStore
from services.store.records import (
    Tip,
    allowance_field,
    decode_account,
    decode_allowance,
    decode_entries,
    decode_tip,
    require_whole,
)
from shared.ledger import Account, Entries, Touched

# Undo records that are read at once. That of a full block has some 300 kB.
UNDOS = 25


class LedgerReader(NodeStore):
    """The ledger of one node."""

    def account(self, address: str) -> Account:
        return decode_account(self._redis.hget(self.keys.accounts, address))

    def allowance(self, owner: str, spender: str) -> int:
        """What `spender` may still take from `owner`, in base units."""
        return decode_allowance(self._redis.hget(self.keys.allowances, allowance_field((owner, spender))))

    def entries(self, keys: Touched) -> tuple[Tip, Entries]:
        """The ledger's entries for `keys`, and the tip that they belong to, read at one moment."""
        addresses, pairs = sorted(keys.accounts), sorted(keys.allowances)
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.hgetall(self.keys.tip)
        if addresses:
            pipeline.hmget(self.keys.accounts, addresses)
        if pairs:
            pipeline.hmget(self.keys.allowances, [allowance_field(pair) for pair in pairs])
        replies = pipeline.execute()
        tip = decode_tip(replies.pop(0))
        accounts = replies.pop(0) if addresses else []
        allowances = replies.pop(0) if pairs else []
        return tip, Entries(
            {address: decode_account(value) for address, value in zip(addresses, accounts, strict=True)},
            {pair: decode_allowance(value) for pair, value in zip(pairs, allowances, strict=True)},
            tip.supply,
        )

    def undo(self, block_hash: str) -> Entries:
        """The ledger entries that a block changed, as they were before it.

        Raises:
            NotFound, Damaged
        """
        return decode_entries(self._undo(block_hash))

    def undos(self, hashes: Sequence[str]) -> Iterator[Entries]:
        """As `undo` for several blocks, in their order, with one round trip for each UNDOS of them.

        Raises:
            NotFound, Damaged
        """
        for start in range(0, len(hashes), UNDOS):
            for text in self._blocks.many("undo", hashes[start : start + UNDOS]):
                if text is None:
                    raise NotFound("There is no undo record for that block.")
                yield decode_entries(text)

    def undo_text(self, block_hash: str) -> bytes:
        """An undo record as it is stored; its check fits.

        Raises:
            NotFound, Damaged
        """
        return require_whole(self._undo(block_hash))

    def ledger_page(self, kind: str, cursor: int, count: int) -> tuple[int, dict[bytes, bytes]]:
        """Some of the stored accounts or allowances, as they are stored.

        An entry that changes between two pages may appear twice.

        Args:
            kind: "accounts" or "allowances".
            cursor: 0 for the first page; then the one that the page before returned.

        Returns:
            the cursor of the next page, 0 after the last; field → value.
        """
        key = {"accounts": self.keys.accounts, "allowances": self.keys.allowances}[kind]
        return self._redis.hscan(key, cursor, count=count)

    def _undo(self, block_hash: str) -> bytes:
        text = self._blocks.one("undo", block_hash)
        if text is None:
            raise NotFound("There is no undo record for that block.")
        return text
