"""The stream of events: what happened on a node, as the scripts write it (lua/event.lua)."""

from dataclasses import dataclass
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError

from services.ports import EventFields, Store
from services.store.base import NodeStore

# Events that are read at once.
_PAGE = 1000
# Types that listeners receive one by one. The others are "transaction", since there may be thousands a second, and
# "limit", which is for searching workers.
TOLD_ONE_BY_ONE = frozenset({"block", "round", "reorganisation", "cancelled"})


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One entry of the stream."""

    id: str
    type: str
    data: str  # words, as docs/redis-schema.md lists them


@dataclass(frozen=True, slots=True)
class Message:
    """What a listener receives: an event, or a state."""

    id: str  # of the event in the stream; "" for a state (services/store/news.py)
    type: str
    data: dict[str, Any]

    @classmethod
    def of(cls, event: StoredEvent) -> "Message":
        """An event with its words as named fields."""
        return cls(event.id, event.type, _details(event.type, event.data))


class EventStream(NodeStore):
    """The events of one node."""

    def last(self) -> str:
        """The id of the newest event. Read it before anything else, to wait for what follows."""
        return _last(self._redis, self.keys.events)

    def since(self, after: str, seconds: float) -> list[StoredEvent]:
        """The events after the one with the id `after`; waits up to `seconds` for the first."""
        found = self._redis.xread({self.keys.events: after}, count=_PAGE, block=max(1, int(seconds * 1000)))
        return [_event(name, fields) for name, fields in found[0][1]] if found else []

    def latest(self, limit: int) -> list[Message]:
        """The blocks, rounds and reorganisations among the newest `limit` events, the oldest first."""
        found = [_event(*item) for item in self._redis.xrevrange(self.keys.events, count=limit)]
        return [Message.of(event) for event in reversed(found) if event.type in TOLD_ONE_BY_ONE]

    def transactions_since(self, after: str, limit: int) -> tuple[list[str], str]:
        """Ids of transactions that were admitted after an event, and the last event that was looked at.

        Args:
            limit: how many events are looked at, at most.
        """
        found = self._redis.xrange(self.keys.events, min=f"({after}", max="+", count=limit)
        ids = [fields[b"data"].decode() for _, fields in found if fields[b"type"] == b"transaction"]
        return ids, found[-1][0].decode() if found else after

    def watch(self) -> "Watch":
        """A watch that notices events from now on, apart from transactions. The caller closes it."""
        return Watch(self._redis, self.keys.search_news)


class Watch:
    """Notices events as they happen, for workers that search. Asking whether one has come sends no command.

    One XREAD stays open on a connection of its own: between two slices, a search looks whether a reply has come.
    Not for use by two threads at once. `opened` is the round that was last noticed to open, if nothing followed it.
    """

    def __init__(self, redis: Store, key: str) -> None:
        """`key`: of the stream. What is in it already is not noticed."""
        # redis-py leaves its connections untyped, and nothing else needs them in the port.
        self._redis: Any = redis
        self._connection: Any = None
        self._key = key
        self._after = _last(redis, key)
        self.opened = ""
        self._send()

    def news(self, seconds: float = 0.0) -> bool:
        """Whether a round, the tip or the hash-rate limit has changed since the last call, or may have, because the
        connection was lost. Waits up to `seconds` for that.
        """
        try:
            if self._connection is None:
                self._send()
            if not self._connection.can_read(seconds):
                return False
            [(_, events)] = self._redis.parse_response(self._connection, "XREAD")
            self._after = events[-1][0].decode()
            self._send()
        except RedisConnectionError:
            self.close()  # opened again at the next call; until then anything may happen
            return True
        for _, fields in events:
            if fields[b"type"] == b"round":
                self.opened = fields[b"data"].split()[0].decode()
            elif fields[b"type"] != b"limit":
                self.opened = ""
        return True

    def close(self) -> None:
        if self._connection is not None:
            self._connection.disconnect()  # the XREAD is still open on it: no other command can use it
            self._redis.connection_pool.release(self._connection)
            self._connection = None

    def _send(self) -> None:
        if self._connection is None:
            self._connection = self._redis.connection_pool.get_connection()
        self._connection.send_command("XREAD", "COUNT", _PAGE, "BLOCK", 0, "STREAMS", self._key, self._after)


def _last(redis: Store, key: str) -> str:
    """The id of the newest entry of a stream."""
    found = redis.xrevrange(key, count=1)
    return found[0][0].decode() if found else "0-0"


def _event(name: bytes, fields: EventFields) -> StoredEvent:
    return StoredEvent(name.decode(), fields[b"type"].decode(), fields[b"data"].decode())


def _details(kind: str, data: str) -> dict[str, Any]:
    """The fields of an event, which the scripts write as words."""
    words = data.split()
    match kind, words:
        case "block", [height, block_hash]:
            return {"height": int(height), "hash": block_hash}
        case "round", [round_id, height]:
            return {"id": round_id, "height": int(height)}
        case "reorganisation", [fork, height, tip]:
            return {"fork": int(fork), "height": int(height), "hash": tip}
        case _:
            return {"id": data}
