"""Printing what happens on the nodes of `quarry up`: a thread for each node reads its store and the logs of its API.

The threads outlive restarts of the API and of Valkey. None of them can keep the supervisor waiting: they are never
waited for, and they print only what standard output takes at once.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from api.cli import terminal
from api.cli.node import event_lines
from api.cli.node.event_lines import NameOf, Pace, RpcFailure
from api.cli.node.log_tail import LogTail
from services.connections.servers import Redis, RedisError, as_store, connect_for_requests
from services.store.blocks import BlockReader
from services.store.events import EventStream, Message, StoredEvent
from services.store.keys import Keys
from services.store.names import NameStore
from services.store.pool import PoolStore

# Seconds: of a read that waits for an event; between two reads, so a flood of events is read in large pages; and after
# an error.
_WAIT, _PAUSE, _AFTER_ERROR = 0.25, 0.1, 1.0
_WIDEST = 200  # columns of a line, so that two events are less than standard output takes at once


class Watcher:
    """Prints the events of one node.

    Args:
        node: its name in the store. shown_as: before each line; "" if there is only one node.
        redis_url: its store. symbol: of its coin. logs: in which errors of JSON-RPC are.
        name_of: the names of addresses. Those that the node's operator has given come first.
    """

    def __init__(
        self,
        node: str,
        shown_as: str,
        redis_url: str,
        symbol: str,
        logs: Sequence[Path],
        name_of: NameOf = lambda address: "",
    ) -> None:
        self._own_name_of = name_of
        self._given: dict[str, str] = {}  # address → name, as the operator has given them
        self._revision: bytes | None = None  # of the given names
        self._name, self._shown_as, self._symbol = node, shown_as, symbol
        self._redis_url = redis_url
        self._logs = [LogTail(path) for path in logs]
        self._blocks = Pace("block", "blocks")
        self._transactions = Pace("transaction", "transactions")
        self._reorganisations = Pace("reorganisation", "reorganisations")
        self._errors = Pace("RPC error", "RPC errors")
        self._seen = ""  # the id of the last event that was read; "": not known yet
        self._lost = 0  # lines that standard output did not take

    def start(self, stop: threading.Event) -> None:
        """Print what happens after this call, in a thread of its own, until `stop` is set or nobody reads."""
        redis = connect_for_requests(self._redis_url, threads=2)
        try:
            self._seen = EventStream(as_store(redis), Keys(self._name)).last()
        except RedisError:
            pass  # the thread asks again
        name = f"events of {self._name}"
        threading.Thread(target=self._run, args=(redis, stop), name=name, daemon=True).start()

    def _run(self, redis: Redis, stop: threading.Event) -> None:
        with redis:
            store, keys = as_store(redis), Keys(self._name)
            events, blocks, pool = EventStream(store, keys), BlockReader(store, keys), PoolStore(store, keys)
            names = NameStore(store, keys)
            while not stop.is_set():
                lines: list[str] = []
                try:
                    self._seen = self._seen or events.last()
                    page = events.since(self._seen, _WAIT)
                    if page:
                        self._read_names(names)
                    for event in page:
                        self._seen = event.id  # first: one that cannot be read is passed over
                        lines += self._of_event(event, blocks, pool)
                    lines += self._summaries()
                except Exception:  # the store is away, or holds what cannot be read: neither ends the printing
                    stop.wait(_AFTER_ERROR)
                lines += self._of_logs()
                if not self._print(lines):
                    return
                stop.wait(_PAUSE)

    def _read_names(self, names: NameStore) -> None:
        """Read the names that the operator has given, if they have changed."""
        revision = names.revision()
        if revision != self._revision:
            self._given, self._revision = names.all(), revision

    def _name_of(self, address: Any) -> str:
        return (self._given.get(address, "") if isinstance(address, str) else "") or self._own_name_of(address)

    def _of_event(self, event: StoredEvent, blocks: BlockReader, pool: PoolStore) -> Iterator[str]:
        now = time.monotonic()
        if event.type == "transaction":
            if self._transactions.admits(now):
                entry = pool.entry(event.data)
                fields = None if entry is None else entry.fields()
                yield event_lines.transaction_line(event.data, fields, self._symbol, self._name_of)
        elif event.type == "block":
            if self._blocks.admits(now):
                yield self._block(Message.of(event).data, blocks)
        elif event.type == "reorganisation" and self._reorganisations.admits(now):
            found = Message.of(event).data
            yield event_lines.reorganisation_line(found["fork"], found["height"], found["hash"])

    def _summaries(self) -> Iterator[str]:
        for pace in (self._transactions, self._blocks, self._reorganisations):
            if line := pace.summary(time.monotonic()):
                yield line

    def _block(self, found: dict[str, Any], blocks: BlockReader) -> str:
        stored = blocks.header(found["hash"])
        return event_lines.block_line(
            found["height"],
            found["hash"],
            None if stored is None else stored.transactions,
            event_lines.miner_of(blocks.block_bytes(found["hash"])),
            self._name_of,
        )

    def _of_logs(self) -> Iterator[str]:
        for log in self._logs:
            for line in log.lines():
                failure = event_lines.read_rpc_error(line)
                if failure is not None:
                    yield from self._of_failure(failure)
        if line := self._errors.summary(time.monotonic()):
            yield line

    def _of_failure(self, failure: RpcFailure) -> Iterator[str]:
        if self._errors.admits(time.monotonic()):
            yield event_lines.rpc_error_line(failure)
        if failure.left_out:
            self._errors.leave_out(failure.left_out)

    def _print(self, texts: Sequence[str]) -> bool:
        """Print lines, or count them if nobody reads. Returns False once standard output is closed or full."""
        width, now = min(terminal.columns(), _WIDEST), time.time()
        for text in texts:
            page = [text]
            if self._lost:
                page.insert(0, f"({self._lost:,} lines were left out: standard output did not take them)")
            lines = [
                line for item in page for line in event_lines.stamped(item, node=self._shown_as, at=now, width=width)
            ]
            try:
                taken = terminal.show_if_taken(*lines)
            except OSError:
                return False
            self._lost = 0 if taken else self._lost + 1
        return True
