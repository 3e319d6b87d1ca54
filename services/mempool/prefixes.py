"""Waiting transactions by the first digits of their id."""

import threading
from dataclasses import dataclass

from services.store.pool import PoolStore

# Waiting transactions that are searched, the newest.
WAITING = 10_000
_DIGITS = 64  # of an id


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read from the mempool."""

    number: int  # how many reads had begun before this one
    revision: int
    text: str  # the ids, the newest first, each after a line break


class WaitingIds:
    """The ids of waiting transactions, for searches by their first digits.

    They are kept in memory, about 1 MB at most, and read again after a transaction was added. Other searches wait while
    they are read, and all of those use what the next read finds. So many searches at once cost two reads, not many.
    """

    def __init__(self, pool: PoolStore) -> None:
        self._pool = pool
        self._lock = threading.Lock()
        self._begun = 0  # reads that have begun
        self._kept = _Read(-1, -1, "")

    def find(self, digits: str) -> list[str]:
        """The ids that begin with `digits`, the newest first, of transactions that wait now."""
        text, found, place = self._text(), [], -1
        while (place := text.find("\n" + digits, place + 1)) >= 0:
            found.append(text[place + 1 : place + 1 + _DIGITS])
        waiting = self._pool.senders(found)  # what has left since is in what is kept
        return [item for item in found if item in waiting]

    def _text(self) -> str:
        before = self._begun
        revision = self._pool.revision()
        kept = self._kept
        if kept.revision == revision:
            return kept.text
        with self._lock:
            if self._kept.number < before:  # that read may have begun before this search
                number = self._begun
                self._begun += 1
                revision, ids = self._pool.newest(WAITING)
                self._kept = _Read(number, revision, "".join("\n" + item for item in ids))
            return self._kept.text
