"""Reading blocks as wallets see them, beginning with block 0; what was read last is kept."""

import threading
from collections.abc import Callable
from functools import cached_property
from typing import Generic, TypeVar

from services.store.chain import ChainStore
from services.store.records import StoredHeader
from services.token.receipts import TokenEvent, WalletBlock, execute, fee_logs, make_log
from services.token.spec_block import make_spec_block
from shared import erc20
from shared.amounts import parse_amount
from shared.rules import Rules

# Executed transactions that are kept, some 6 kB each with what the reward has of them, and events, some 1 kB each.
_KEPT_TRANSACTIONS = 4_000
_KEPT_EVENTS = 10_000

V = TypeVar("V")


class WalletBlocks:
    """Reads blocks from the chain; keeps those that were read last."""

    def __init__(self, chain: ChainStore, rules: Rules) -> None:
        self._chain = chain
        self._rules = rules
        self._blocks = _Kept[WalletBlock](_KEPT_TRANSACTIONS, lambda block: len(block.transactions))
        self._events = _Kept[tuple[TokenEvent, ...]](_KEPT_EVENTS, len)

    @cached_property
    def spec_block(self) -> WalletBlock:
        """Block 0, which no chain has: the chain spec."""
        return make_spec_block(self._rules.spec)

    def headers(self, first: int, limit: int) -> list[StoredHeader]:
        """The headers of heights `first` to `first + limit - 1`, as far as the chain has them. Block 0 is the first."""
        if first > 0 or limit < 1:
            return self._chain.headers(first, limit)
        return [self.spec_block.stored, *self._chain.headers(1, limit - 1)]

    def block(self, stored: StoredHeader) -> WalletBlock:
        """The block of a stored header, executed.

        Raises:
            NotFound, Damaged, Pruned
        """
        return self._blocks.get(stored.header.hash, lambda: self._read_block(stored))

    def events(self, stored: StoredHeader) -> tuple[TokenEvent, ...]:
        """The events alone, at a tenth of the cost. Raises: as `block`."""
        return self._events.get(stored.header.hash, lambda: self._read_events(stored))

    def _read_block(self, stored: StoredHeader) -> WalletBlock:
        if stored.header.index == 0:
            return self.spec_block
        block = self._rules.read_block(self._chain.block_object(stored.header.hash))
        executed = execute(block.transactions, self._rules.spec)
        return WalletBlock(stored, executed, erc20.bloom(event.log for item in executed for event in item.events))

    def _read_events(self, stored: StoredHeader) -> tuple[TokenEvent, ...]:
        if stored.header.index == 0:
            return self.spec_block.transactions[0].events
        token = self._rules.spec.token.address
        body = self._chain.block_object(stored.header.hash)["transactions"]
        fees = fee_logs(token, ((item["sender"], parse_amount(item["fee"])) for item in body if item["fee"] != "0"))
        result: list[TokenEvent] = []
        for position, (name, item) in enumerate(
            zip(self._chain.transaction_ids(stored.header.hash), body, strict=True)
        ):
            log = make_log(
                token, item["type"], item["sender"], item["recipient"], item.get("owner"), parse_amount(item["amount"])
            )
            result.append(TokenEvent(log, name, position, len(result)))
            if position == 0:
                result += [TokenEvent(fee, name, 0, index) for index, fee in enumerate(fees, 1)]
        return tuple(result)


class _Kept(Generic[V]):
    """Results for the last blocks, kept by block hash, so they do not go stale."""

    def __init__(self, budget: int, size_of: Callable[[V], int]) -> None:
        """`budget`: how much is kept together, by `size_of`; of results that are larger, one."""
        self._budget = budget
        self._size_of = size_of
        self._values: dict[str, tuple[V, int]] = {}
        self._used = 0
        self._lock = threading.Lock()

    def get(self, key: str, make: Callable[[], V]) -> V:
        found = self._values.get(key)
        if found is not None:
            return found[0]
        # One thread makes it at a time: most threads wait for the same new block, and each would make it again.
        with self._lock:
            found = self._values.get(key)
            if found is not None:
                return found[0]
            value = make()
            size = self._size_of(value)
            self._values[key] = value, size
            self._used += size
            while self._used > self._budget and len(self._values) > 1:
                oldest = next(iter(self._values))
                self._used -= self._values.pop(oldest)[1]
            return value
