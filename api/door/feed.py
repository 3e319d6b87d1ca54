"""The one reader of what happens on the node, for all subscribers of this process.

The events stream only says when to look. What has changed is read from the chain, from the block that was told last to
the tip, so a lost event leaves no block out.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import structlog

from api.door.backlog import Step
from api.door.notices import Topic
from api.rpc.representations import represent_block, represent_header, represent_log, represent_pending
from services.chain.changes import Changes, changes_since
from services.connections.failures import fields
from services.connections.servers import RedisError
from services.errors import NotFound, TipMoved
from services.node import Node
from services.store.records import StoredHeader
from shared.erc20 import Log
from shared.errors import NodeError

_log = structlog.get_logger(__name__)

# Seconds: the reader looks at the chain this often, even without an event; after an error, it waits so long.
_LOOK_SECONDS = 1.0
_PAUSE = 0.25
# Attached blocks that are told together.
_PAGE = 100
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class Feed:
    """Reads while there are subscriptions. `begin`, `want` and `forget` may be called from any thread."""

    def __init__(self, node: Node, tell: Callable[[Sequence[Step]], None], lost: Callable[[], None]) -> None:
        """
        Args:
            tell: called on the reader's thread with steps, in order.
            lost: called likewise when the last told block is no longer stored, so that steps would be missing.
        """
        self._node = node
        self._tell = tell
        self._lost = lost
        self._lock = threading.Lock()
        self._wanted: Counter[str] = Counter()
        self._reader: threading.Thread | None = None
        self._told = ""  # hash of the last block that was told
        self._seen = ""  # id of the last event

    @property
    def subscriptions(self) -> int:
        return self._wanted["all"]

    def want(self, topic: Topic, most: int) -> bool:
        """Count a subscription; False if there are `most` already."""
        with self._lock:
            if self._wanted["all"] >= most:
                return False
            self._wanted.update(_counted(topic))
            return True

    def forget(self, topic: Topic) -> None:
        """Count it no longer."""
        with self._lock:
            self._wanted.subtract(_counted(topic))

    def begin(self) -> None:
        """Read from now on: blocks that are appended after this call are told.

        Raises:
            RedisError, NotBegun: the store cannot be read.
        """
        with self._lock:
            if self._reader is not None:
                return
            self.go_to_the_end()
            self._reader = threading.Thread(target=self._read, name="feed", daemon=True)
            self._reader.start()

    def go_to_the_end(self) -> None:
        """Tell only what happens from now on."""
        self._seen = self._node.mining.events.last()
        self._told = self._node.chain.tip().hash

    def _read(self) -> None:
        while True:
            with self._lock:
                if not self._wanted["all"]:
                    self._reader = None
                    return
            try:
                ids = self._wait()
                if ids and (self._wanted["pending"] or self._wanted["whole"]):
                    self._tell([self._pending(ids)])
                self.look()
            except RedisError as error:
                _log.warning("feed_interrupted", **fields(error))
                self._node.clock.sleep(_PAUSE)
            except TipMoved:
                continue  # another look finds the chain at rest
            except NodeError as error:
                _log.warning("feed_failed", reason=str(error))
                self._node.clock.sleep(_PAUSE)
            except Exception:  # a bug, or an event that cannot be read: go on after the newest
                _log.exception("feed_failed")
                self._seen = ""
                self._node.clock.sleep(_PAUSE)

    def _wait(self) -> list[str]:
        """Wait for events; the ids of the transactions among them."""
        self._seen = self._seen or self._node.mining.events.last()
        found = self._node.mining.events.since(self._seen, _LOOK_SECONDS)
        if found:
            self._seen = found[-1].id
        return [event.data for event in found if event.type == "transaction"]

    def look(self) -> None:
        """Tell what has changed since the last look."""
        while True:
            changes = changes_since(self._node.chain, self._told, _PAGE)
            if changes is None:
                self.go_to_the_end()
                self._lost()
                return
            if not changes.detached and not changes.attached:
                return
            self._tell(self._steps(changes))
            self._told = changes.last.header.hash
            if len(changes.attached) < _PAGE:
                return

    def _steps(self, changes: Changes) -> list[Step]:
        wants_logs = self._wanted["logs"] > 0
        detached = [Step("detached", logs=self._removed(stored)) for stored in changes.detached if wants_logs]
        attached = [
            Step("attached", self._head(stored), self._added(stored) if wants_logs else None)
            for stored in changes.attached
        ]
        return [*detached, *attached]

    def _head(self, stored: StoredHeader) -> bytes:
        block = represent_block(self._node.wallet_blocks.block(stored), self._node.settings.spec, whole=False)
        return _encode(represent_header(block)).encode()

    def _added(self, stored: StoredHeader) -> list[tuple[Log, bytes]]:
        return list(self._logs(stored, removed=False))

    def _removed(self, stored: StoredHeader) -> list[tuple[Log, bytes]]:
        """The events of a detached block, the last one first, as geth takes them back."""
        try:
            return list(self._logs(stored, removed=True))[::-1]
        except NotFound:  # its body has been deleted already
            return []

    def _logs(self, stored: StoredHeader, *, removed: bool) -> Iterator[tuple[Log, bytes]]:
        for event in self._node.wallet_blocks.events(stored):
            yield event.log, _encode(represent_log(event, stored, removed=removed)).encode()

    def _pending(self, ids: Sequence[str]) -> Step:
        whole = self._whole(ids) if self._wanted["whole"] else None
        return Step("pending", hashes=[f'"0x{each}"'.encode() for each in ids], whole=whole)

    def _whole(self, ids: Sequence[str]) -> list[bytes]:
        """The transactions as they were while they waited, although some are in a block by now."""
        node, found = self._node, []
        entries = {entry.id: entry for entry in node.pool.entries(list(ids))}
        for each in ids:
            if (entry := entries.get(each)) is not None:
                transaction = node.rules.recall(entry.text, entry.id, entry.nonce)
            elif (place := node.chain.locate(each)) is not None:
                stored = node.chain.header(place.block_hash)
                if stored is None:
                    continue
                transaction = node.wallet_blocks.block(stored).transactions[place.position].transaction
            else:  # it was dropped meanwhile
                continue
            found.append(_encode(represent_pending(transaction, node.settings.spec)).encode())
        return found


def _counted(topic: Topic) -> list[str]:
    if topic.kind == "newPendingTransactions":
        return ["all", "whole" if topic.whole else "pending"]
    return ["all", topic.kind]
