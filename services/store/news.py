"""What happens on a node, passed on to listeners. Each process has one reader, however many listen.

Blocks, rounds and reorganisations are passed on one by one. Arriving transactions and the progress of a round are
passed on as the state that they lead to, at most twice a second.
"""

import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from redis.exceptions import RedisError

from services.connections.failures import fields
from services.ports import Clock
from services.store.events import TOLD_ONE_BY_ONE, EventStream, Message
from services.store.overview import OverviewStore
from shared.errors import NodeError

_log = structlog.get_logger(__name__)

_STATE_SECONDS = 0.5
# Messages that wait for one listener. A slower listener loses the oldest; states tell it the rest.
_BACKLOG = 100


class News:
    """The listeners of one process."""

    def __init__(self, events: EventStream, overviews: OverviewStore, clock: Clock) -> None:
        self._events = events
        self._overviews = overviews
        self._clock = clock
        self._lock = threading.Lock()
        self._listeners: set[queue.Queue[Message]] = set()
        self._reader: threading.Thread | None = None

    @contextmanager
    def listen(self) -> Iterator["queue.Queue[Message]"]:
        """A queue that receives the messages from now on.

        Raises:
            RedisError: the store cannot be read.
        """
        listener: queue.Queue[Message] = queue.Queue(_BACKLOG)
        with self._lock:
            if self._reader is None:
                # Asked here, since an event that comes before the reader's thread runs is news to this listener.
                seen = self._events.last()
                self._reader = threading.Thread(target=self._read, args=(seen,), name="news", daemon=True)
                self._reader.start()
            self._listeners.add(listener)
        try:
            yield listener
        finally:
            with self._lock:
                self._listeners.discard(listener)

    def _read(self, seen: str) -> None:
        """Read events after the one with the id `seen` and pass them on, until the last listener has gone."""
        told_at, changed = 0.0, False
        while True:
            with self._lock:
                if not self._listeners:
                    self._reader = None
                    return
            try:
                seen = seen or self._events.last()
                for event in self._events.since(seen, _STATE_SECONDS):
                    seen = event.id
                    if event.type in TOLD_ONE_BY_ONE:
                        self._tell(Message.of(event))
                    changed = True
                now = self._clock.now()
                if not 0 <= now - told_at < _STATE_SECONDS:  # the clock may have been set back
                    state = self._state()
                    if changed or state["round"] is not None:
                        self._tell(Message("", "state", state))
                    told_at, changed = now, False
            except (RedisError, NodeError) as error:  # away, or emptied
                _log.warning("news_interrupted", **fields(error))
                self._clock.sleep(1.0)
            except Exception:  # a bug, or an event that cannot be read: the others are passed on
                # Go on after the newest event, or this one would be read again for ever. Asked before the pause: what
                # comes during it is passed on.
                seen = self._newest()
                _log.exception("news_failed")
                self._clock.sleep(1.0)

    def _newest(self) -> str:
        """The id of the newest event; "" if the store is away."""
        try:
            return self._events.last()
        except (RedisError, NodeError):
            return ""

    def _state(self) -> dict[str, Any]:
        state = self._overviews.read(self._clock.now())
        progress = None
        if state.round is not None and state.figures is not None:
            figures = state.figures.to_object()
            progress = {
                "id": state.round.id,
                "height": state.round.height,
                "difficulty": state.round.difficulty,
                **figures,
                "workers": {item["name"]: item["hashes"] for item in figures["workers"]},
                "rates": {item["name"]: item["rate"] for item in figures["workers"]},
            }
        return {
            "mempool": {"size": state.pool_size, "bytes": state.pool_bytes},
            "requests": state.requests,
            "round": progress,
            "hashes": state.counters.get("hashes", 0),
            "wasted_hashes": state.counters.get("wasted_hashes", 0),
        }

    def _tell(self, message: Message) -> None:
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            try:
                listener.put_nowait(message)
            except queue.Full:
                try:
                    listener.get_nowait()
                    listener.put_nowait(message)
                except (queue.Empty, queue.Full):
                    pass


def as_text(message: Message) -> str:
    """A message as a server-sent event."""
    head = f"id: {message.id}\n" if message.id else ""
    return f"{head}event: {message.type}\ndata: {json.dumps(message.data)}\n\n"
