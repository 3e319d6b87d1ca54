"""A copy of the stored ledger at one moment, read in pages while the chain may grow.

Nothing is decoded: what cannot be read must be reported as it is.
"""

import json
from dataclasses import dataclass

from services.errors import Damaged, NotBegun, TipMoved
from services.ports import Store
from services.store.keys import Keys
from services.store.packs import RecordReader, full_hash

# Entries that are read at once: a page occupies the store for about a millisecond.
_PAGE = 4000
_ATTEMPTS = 5
# How often one reading follows the chain to a new tip before it gives up.
_FOLLOWED = 50


@dataclass(frozen=True, slots=True)
class LedgerCopy:
    """Accounts and allowances as they are stored, and the fields of the tip that they belong to."""

    tip: dict[bytes, bytes]
    height: int  # the number of blocks in the list of heights
    accounts: dict[bytes, bytes]
    allowances: dict[bytes, bytes]

    def tip_text(self, name: bytes) -> str:
        """A field of the tip as text; "" if it is missing. Bytes that are not ASCII are replaced."""
        return self.tip.get(name, b"").decode("ascii", "replace")


def copy_ledger(redis: Store, keys: Keys, blocks: RecordReader) -> LedgerCopy:
    """All accounts and allowances at one moment. Takes some 250 bytes of memory for each.

    The undo records of blocks that are appended while the pages are read name the entries that have changed. These are
    read again, together with the tip.

    Raises:
        NotBegun: there is neither a tip nor a block.
        TipMoved: the chain is reorganised again and again.
        Damaged: a block that was appended meanwhile has no readable undo record.
    """
    for _ in range(_ATTEMPTS):
        found = _Reading(redis, keys, blocks).run()
        if found is not None:
            return found
    raise TipMoved("The chain was reorganised while the ledger was read.")


class _Reading:
    def __init__(self, redis: Store, keys: Keys, blocks: RecordReader) -> None:
        self._redis = redis
        self._keys = keys
        self._blocks = blocks
        self._accounts: dict[bytes, bytes] = {}
        self._allowances: dict[bytes, bytes] = {}
        # What has changed since the reading began.
        self._changed: tuple[set[bytes], set[bytes]] = (set(), set())

    def run(self) -> LedgerCopy | None:
        tip, height = self._look()
        repairs = _repairs(tip)
        self._accounts = _scanned(self._redis, self._keys.accounts)
        self._allowances = _scanned(self._redis, self._keys.allowances)
        for _ in range(_FOLLOWED):
            now, length = self._look()
            if _repairs(now) != repairs:
                return None
            if now.get(b"hash") == tip.get(b"hash"):
                return LedgerCopy(now, length, self._accounts, self._allowances)
            if not self._follow(tip.get(b"hash"), height, now.get(b"hash"), length):
                return None
            tip, height = now, length
        return None

    def _look(self) -> tuple[dict[bytes, bytes], int]:
        """Read the tip, the length of the chain, and again the entries that have changed, at one moment."""
        keys, (accounts, allowances) = self._keys, map(sorted, self._changed)
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.hgetall(keys.tip)
        pipeline.llen(keys.heights)
        if accounts:
            pipeline.hmget(keys.accounts, accounts)
        if allowances:
            pipeline.hmget(keys.allowances, allowances)
        tip, height, *values = pipeline.execute()
        if not tip and not height:
            raise NotBegun
        if accounts:
            _update(self._accounts, accounts, values.pop(0))
        if allowances:
            _update(self._allowances, allowances, values.pop(0))
        return tip, height

    def _follow(self, old: bytes | None, old_height: int, new: bytes | None, height: int) -> bool:
        """Note what the blocks between two tips have changed; False if the new tip is no descendant of the old one."""
        found = self._redis.lrange(self._keys.heights, old_height - 1, height - 1)
        hashes = list(map(full_hash, found))
        if len(hashes) < 2 or hashes[0] != old or hashes[-1] != new:
            return False
        for text in self._blocks.many("undo", hashes[1:], old_height + 1):
            try:
                before = json.loads(text or b"")
                self._changed[0].update(name.encode() for name in before["accounts"])
                self._changed[1].update(name.encode() for name in before["allowances"])
            except (ValueError, KeyError, TypeError):
                raise Damaged("The undo record of a new block cannot be read.") from None
        return True


def _scanned(redis: Store, name: str) -> dict[bytes, bytes]:
    """A whole hash, page by page. An entry that changes meanwhile may be missing or old."""
    found: dict[bytes, bytes] = {}
    cursor = 0
    while True:
        cursor, page = redis.hscan(name, cursor, count=_PAGE)
        found.update(page)
        if not cursor:
            return found


def _update(copy: dict[bytes, bytes], names: list[bytes], values: list[bytes | None]) -> None:
    for name, value in zip(names, values, strict=True):
        if value is None:
            copy.pop(name, None)
        else:
            copy[name] = value


def _repairs(tip: dict[bytes, bytes]) -> bytes:
    """The count of repairs in the digest, which only a repair changes."""
    return tip.get(b"digest", b"").rpartition(b":")[2]
