"""Finding token events: by range of blocks, by address through the histories, by topics."""

from collections.abc import Iterator
from dataclasses import dataclass

from services.errors import PolicyError
from services.store.chain import ChainStore
from services.wallet_blocks import Executed, WalletBlock, WalletBlocks
from shared.addresses import checksummed
from shared.erc20 import Log

# Blocks that one question may range over, when no address narrows it down; and events that one answer may hold.
MAX_BLOCKS = 2_000
MAX_LOGS = 10_000
_HISTORY_PAGE = 500

Topics = tuple[frozenset[bytes] | None, ...]  # per position the alternatives; None: anything


@dataclass(frozen=True, slots=True)
class LogCriteria:
    """Which events are wanted."""

    first: int  # heights, both inclusive
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
    """One event and where it stands."""

    block: WalletBlock
    item: Executed
    offset: int  # in the item's logs


class LogSearch:
    """Searches the events of one chain."""

    def __init__(self, chain: ChainStore, blocks: WalletBlocks, token: str) -> None:
        self._chain = chain
        self._blocks = blocks
        self._token = token

    def find(self, criteria: LogCriteria) -> list[FoundLog]:
        """The events, oldest first.

        Raises:
            PolicyError: `range_too_large`, `too_many_logs`.
        """
        if criteria.addresses is not None and self._token not in criteria.addresses:
            return []
        found: list[FoundLog] = []
        for height in self._heights(criteria):
            block_hash = self._chain.hash_at(height)
            stored = self._chain.header(block_hash) if block_hash else None
            if stored is not None:
                found += in_block(self._blocks.block(stored), criteria)
            if len(found) > MAX_LOGS:
                raise PolicyError("too_many_logs", f"query returned more than {MAX_LOGS} results")
        return found

    def _heights(self, criteria: LogCriteria) -> Iterator[int]:
        """The heights that can hold such events: from the histories of the addresses in topics, if there are any."""
        last = min(criteria.last, self._chain.tip().height)
        people = self._people(criteria.topics)
        if people is not None:
            heights = {height for address in people for height in self._history(address, criteria.first)}
            yield from sorted(height for height in heights if height <= last)
            return
        if last - criteria.first >= MAX_BLOCKS:
            raise PolicyError("range_too_large", f"block range is larger than {MAX_BLOCKS} blocks")
        yield from range(max(1, criteria.first), last + 1)

    def _people(self, topics: Topics) -> set[str] | None:
        """The addresses of the first topic position that asks for some; all its events name one of them."""
        for wanted in topics[1:3]:
            if wanted is not None:
                return {checksummed(topic[12:]) for topic in wanted if not any(topic[:12])}
        return None

    def _history(self, address: str, first: int) -> Iterator[int]:
        """Heights of the transactions that name an address, down to `first`."""
        seen = 0
        while page := self._chain.history(address, newest=seen, limit=_HISTORY_PAGE):
            for height, _ in page:
                if height < first:
                    return
                yield height
            seen += len(page)


def in_block(block: WalletBlock, criteria: LogCriteria) -> list[FoundLog]:
    """The events of one block that are wanted."""
    return [
        FoundLog(block, item, offset)
        for item in block.transactions
        for offset, log in enumerate(item.logs)
        if criteria.accepts(log)
    ]
