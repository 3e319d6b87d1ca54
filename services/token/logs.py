"""Finding token events: by range of blocks, by topics, and by address through the histories of accounts."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from services.errors import PolicyError, TipMoved
from services.store.chain import ChainStore
from services.store.records import StoredHeader
from services.token.receipts import TokenEvent
from services.token.wallet_blocks import WalletBlocks
from shared.addresses import ZERO_ADDRESS, checksummed
from shared.erc20 import Log

# Blocks that one search may cover: those of its range, or, if its topics name addresses, those that name the addresses.
MAX_BLOCKS = 2_000
# Transactions that one search may read: about a second's work.
MAX_TRANSACTIONS = 200_000
MAX_LOGS = 10_000
_PAGE = 500
_ATTEMPTS = 10

Topics = tuple[frozenset[bytes] | None, ...]  # per position the alternatives; None: anything


@dataclass(frozen=True, slots=True)
class LogCriteria:
    """Which events are wanted."""

    first: int  # heights, both inclusive; 0 is the chain spec
    last: int
    addresses: frozenset[str] | None  # contracts; None: any
    topics: Topics

    def accepts(self, log: Log) -> bool:
        if self.addresses is not None and log.address not in self.addresses:
            return False
        if len(self.topics) > len(log.topics):
            return False
        return all(wanted is None or topic in wanted for wanted, topic in zip(self.topics, log.topics, strict=False))


@dataclass(frozen=True, slots=True)
class FoundLog:
    """One event and its block."""

    stored: StoredHeader
    event: TokenEvent


class LogSearch:
    """Searches the events of one chain."""

    def __init__(self, chain: ChainStore, blocks: WalletBlocks, token: str) -> None:
        """`token`: the token's address."""
        self._chain = chain
        self._blocks = blocks
        self._token = token

    def find(self, criteria: LogCriteria, holding: Callable[[int], None] = lambda more: None) -> list[FoundLog]:
        """The events, oldest first.

        Args:
            holding: called with the number of events that were added since its last call, whenever that is a hundred
                or more. It refuses the search by raising.

        Raises:
            PolicyError: `range_too_large`, `too_many_logs`.
            TipMoved: the chain was reorganised during every attempt.
        """
        if criteria.addresses is not None and self._token not in criteria.addresses:
            return []
        for _ in range(_ATTEMPTS):
            tip = self._chain.tip()
            found = self._find(criteria, tip.height, holding)
            # Blocks and histories were read one after the other. They belong together if no block was detached.
            if self._chain.hash_at(tip.height) == tip.hash:
                return found
        raise TipMoved("The chain was reorganised while its events were read.")

    def in_block(self, stored: StoredHeader, criteria: LogCriteria) -> list[FoundLog]:
        """The wanted events of one block, whatever its height."""
        return [FoundLog(stored, event) for event in self._blocks.events(stored) if criteria.accepts(event.log)]

    def _find(self, criteria: LogCriteria, height: int, holding: Callable[[int], None]) -> list[FoundLog]:
        first, last = max(0, criteria.first), min(criteria.last, height)
        addresses = _addresses(criteria.topics)
        found: list[FoundLog] = []
        left, told = MAX_TRANSACTIONS, 0
        for stored in self._headers(first, last, addresses):
            left -= stored.transactions
            if left < 0:
                raise PolicyError("range_too_large", f"the blocks hold more than {MAX_TRANSACTIONS} transactions")
            found += self.in_block(stored, criteria)
            if len(found) > MAX_LOGS:
                raise PolicyError("too_many_logs", f"query returned more than {MAX_LOGS} results")
            if len(found) - told >= 100:
                holding(len(found) - told)
                told = len(found)
        return found

    def _headers(self, first: int, last: int, addresses: set[str] | None) -> Iterator[StoredHeader]:
        """The headers of the blocks that can hold such events, lowest first."""
        # While a reorganisation is being finished, the histories belong to neither branch.
        if addresses is None or self._chain.has_journal():
            if last - first >= MAX_BLOCKS:
                raise PolicyError("range_too_large", f"block range is larger than {MAX_BLOCKS} blocks")
            for start in range(first, last + 1, _PAGE):
                yield from self._blocks.headers(start, min(_PAGE, last + 1 - start))
            return
        if first == 0 <= last:
            yield from self._blocks.headers(0, 1)  # which no history names
        for height in self._heights(first, last, addresses):
            yield from self._chain.headers(height, 1)

    def _heights(self, first: int, last: int, addresses: Iterable[str]) -> list[int]:
        """The heights from `first` to `last` whose blocks name one of the addresses, lowest first."""
        heights: set[int] = set()
        left = MAX_TRANSACTIONS
        for address in addresses:
            for height in self._history(address, first, last):
                heights.add(height)
                left -= 1
                if len(heights) > MAX_BLOCKS or left < 0:
                    raise PolicyError("range_too_large", f"more than {MAX_BLOCKS} blocks name these addresses")
        return sorted(heights)

    def _history(self, address: str, first: int, last: int) -> Iterator[int]:
        """Heights from `last` down to `first` of the transactions that name an address."""
        seen = self._after(address, last)
        while page := self._chain.history(address, newest=seen, limit=_PAGE):
            for height, _ in page:
                if height < first:
                    return
                if height <= last:  # a block that is appended between two reads shifts the pages
                    yield height
            seen += len(page)

    def _after(self, address: str, last: int) -> int:
        """How many transactions in the history of an address are in blocks above `last`."""

        def is_above(newest: int) -> bool:
            place = self._chain.history(address, newest=newest, limit=1)
            return bool(place) and place[0][0] > last

        step = 1
        if not is_above(0):
            return 0
        while is_above(step):
            step *= 2
        low, high = step // 2, step  # is_above(low), and not is_above(high)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if is_above(middle) else (low, middle)
        return high


def _addresses(topics: Topics) -> set[str] | None:
    """The addresses that one topic position asks for: their histories name all its events.

    None: no position asks for addresses, or only for sets with the zero address, which has no history, although every
    reward comes from it and every fee goes to it.
    """
    for wanted in topics[1:3]:
        if wanted is not None:
            addresses = {checksummed(topic[12:]) for topic in wanted if not any(topic[:12])}
            if ZERO_ADDRESS not in addresses:
                return addresses
    return None
