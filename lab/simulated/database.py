"""The commands of Redis that Quarry uses, over a dictionary: arguments and replies as Lua has them."""

from bisect import bisect_left
from collections.abc import Callable
from typing import Any


def to_bytes(value: Any) -> bytes:
    """An argument as it goes over the wire: numbers as redis-py and Lua write them."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, float):
        return b"%d" % value if value.is_integer() and abs(value) < 2**53 else repr(value).encode()
    return b"%d" % value


class SortedSet:
    """Members with scores, ordered by score and then by bytes."""

    def __init__(self) -> None:
        self.scores: dict[bytes, float] = {}
        self._ordered: list[tuple[float, bytes]] | None = None

    def ordered(self) -> list[tuple[float, bytes]]:
        if self._ordered is None:
            self._ordered = sorted((score, member) for member, score in self.scores.items())
        return self._ordered

    def add(self, member: bytes, score: float) -> bool:
        new = member not in self.scores
        self.scores[member] = score
        self._ordered = None
        return new

    def remove(self, member: bytes) -> bool:
        self._ordered = None
        return self.scores.pop(member, None) is not None

    def between(self, low: bytes, high: bytes) -> list[bytes]:
        """Members with scores from `low` to `high`, as ZRANGEBYSCORE takes them."""
        above, below = _bound(low), _bound(high)
        return [
            member
            for score, member in self.ordered()
            if (score > above[0] or (score == above[0] and not above[1]))
            and (score < below[0] or (score == below[0] and not below[1]))
        ]


def _bound(text: bytes) -> tuple[float, bool]:
    """A score and whether it is excluded."""
    return (float(text[1:]), True) if text[:1] == b"(" else (float(text), False)


class Database:
    """The keys, and the commands on them: arguments and replies as Lua has them (bytes, int, None, lists)."""

    def __init__(self) -> None:
        self.keys: dict[bytes, Any] = {}
        self.changed: set[bytes] = set()  # keys that were written since this was last emptied
        self._events = 0

    def _get(self, key: bytes, kind: Callable[[], Any]) -> Any:
        """A value to write to."""
        self.changed.add(key)
        value = self.keys.get(key)
        if value is None:
            value = self.keys[key] = kind()
        return value

    def _tidy(self, key: bytes, value: Any) -> None:
        if not (value.scores if isinstance(value, SortedSet) else value):
            self.keys.pop(key, None)

    # --- keys and strings ---

    def get(self, key: bytes) -> bytes | None:
        return self.keys.get(key)

    def mget(self, *keys: bytes) -> list[bytes | None]:
        return [self.keys.get(key) for key in keys]

    def set(self, key: bytes, value: bytes) -> bool:
        self.changed.add(key)
        self.keys[key] = value
        return True

    def getrange(self, key: bytes, start: bytes, end: bytes) -> bytes:
        value: bytes = self.keys.get(key, b"")
        return value[_slice(start, end, len(value))]

    def incr(self, key: bytes) -> int:
        value = int(self.keys.get(key, b"0")) + 1
        self.set(key, b"%d" % value)
        return value

    def delete(self, *keys: bytes) -> int:
        self.changed.update(keys)
        return sum(self.keys.pop(key, None) is not None for key in keys)

    def exists(self, *keys: bytes) -> int:
        return sum(key in self.keys for key in keys)

    def expire(self, key: bytes, seconds: bytes) -> int:
        return int(key in self.keys)

    # --- hashes ---

    def hget(self, key: bytes, field: bytes) -> bytes | None:
        found: bytes | None = self.keys.get(key, {}).get(field)
        return found

    def hgetall(self, key: bytes) -> list[bytes]:
        return [item for pair in self.keys.get(key, {}).items() for item in pair]

    def hmget(self, key: bytes, *fields: bytes) -> list[bytes | None]:
        value = self.keys.get(key, {})
        return [value.get(field) for field in fields]

    def hset(self, key: bytes, *pairs: bytes) -> int:
        value = self._get(key, dict)
        before = len(value)
        value.update(zip(pairs[::2], pairs[1::2], strict=True))
        return len(value) - before

    def hsetnx(self, key: bytes, field: bytes, value: bytes) -> int:
        return 0 if self.hexists(key, field) else self.hset(key, field, value)

    def hdel(self, key: bytes, *fields: bytes) -> int:
        value = self._get(key, dict)
        gone = sum(value.pop(field, None) is not None for field in fields)
        self._tidy(key, value)
        return gone

    def hlen(self, key: bytes) -> int:
        return len(self.keys.get(key, ()))

    def hexists(self, key: bytes, field: bytes) -> int:
        return int(field in self.keys.get(key, ()))

    def hincrby(self, key: bytes, field: bytes, by: bytes) -> int:
        value = self._get(key, dict)
        total = int(value.get(field, b"0")) + int(by)
        value[field] = b"%d" % total
        return total

    # --- lists ---

    def llen(self, key: bytes) -> int:
        return len(self.keys.get(key, ()))

    def lindex(self, key: bytes, index: bytes) -> bytes | None:
        value, at = self.keys.get(key, []), int(index)
        return value[at] if -len(value) <= at < len(value) else None

    def lrange(self, key: bytes, start: bytes, end: bytes) -> list[bytes]:
        value = self.keys.get(key, [])
        found: list[bytes] = value[_slice(start, end, len(value))]
        return found

    def lset(self, key: bytes, index: bytes, item: bytes) -> bool:
        self._get(key, list)[int(index)] = item
        return True

    def ltrim(self, key: bytes, start: bytes, end: bytes) -> bool:
        value = self._get(key, list)
        value[:] = value[_slice(start, end, len(value))]
        self._tidy(key, value)
        return True

    def rpush(self, key: bytes, *items: bytes) -> int:
        value: list[bytes] = self._get(key, list)
        value.extend(items)
        return len(value)

    def lpos(self, key: bytes, item: bytes) -> int | None:
        value = self.keys.get(key, [])
        return value.index(item) if item in value else None

    def lmove(self, source: bytes, destination: bytes, out_of: bytes, into: bytes) -> bytes | None:
        item = self._pop(source, 0 if out_of == b"LEFT" else -1)
        if item is not None:
            value: list[bytes] = self._get(destination, list)
            value.insert(0 if into == b"LEFT" else len(value), item)
        return item

    def lpop(self, key: bytes) -> bytes | None:
        return self._pop(key, 0)

    def _pop(self, key: bytes, at: int) -> bytes | None:
        if key not in self.keys:
            return None
        value = self._get(key, list)
        item: bytes = value.pop(at)
        self._tidy(key, value)
        return item

    def lrem(self, key: bytes, count: bytes, item: bytes) -> int:
        value = self._get(key, list)
        gone = 0
        while gone < int(count) and item in value:
            value.remove(item)
            gone += 1
        self._tidy(key, value)
        return gone

    # --- sorted sets ---

    def zadd(self, key: bytes, *pairs: bytes) -> int:
        value: SortedSet = self._get(key, SortedSet)
        return sum(value.add(member, float(score)) for score, member in zip(pairs[::2], pairs[1::2], strict=True))

    def zrem(self, key: bytes, *members: bytes) -> int:
        value: SortedSet = self._get(key, SortedSet)
        gone = sum(value.remove(member) for member in members)
        self._tidy(key, value)
        return gone

    def zset(self, key: bytes) -> SortedSet:
        found: SortedSet = self.keys.get(key) or SortedSet()
        return found

    def zcard(self, key: bytes) -> int:
        return len(self.zset(key).scores)

    def zscore(self, key: bytes, member: bytes) -> bytes | None:
        score = self.zset(key).scores.get(member)
        return None if score is None else to_bytes(score)

    def zmscore(self, key: bytes, *members: bytes) -> list[bytes | None]:
        return [self.zscore(key, member) for member in members]

    def zcount(self, key: bytes, low: bytes, high: bytes) -> int:
        return len(self.zset(key).between(low, high))

    def zrange(self, key: bytes, start: bytes, end: bytes) -> list[bytes]:
        ordered = self.zset(key).ordered()
        return [member for _, member in ordered[_slice(start, end, len(ordered))]]

    def zrevrange(self, key: bytes, start: bytes, end: bytes, *with_scores: bytes) -> list[bytes]:
        ordered = self.zset(key).ordered()[::-1]
        found = ordered[_slice(start, end, len(ordered))]
        if with_scores == (b"WITHSCORES",):
            return [item for score, member in found for item in (member, to_bytes(score))]
        return [member for _, member in found]

    def zrangebyscore(self, key: bytes, low: bytes, high: bytes, *limit: bytes) -> list[bytes]:
        found = self.zset(key).between(low, high)
        return found[int(limit[1]) : int(limit[1]) + int(limit[2])] if limit else found

    def zrevrangebyscore(self, key: bytes, high: bytes, low: bytes, *limit: bytes) -> list[bytes]:
        found = self.zset(key).between(low, high)[::-1]
        return found[int(limit[1]) : int(limit[1]) + int(limit[2])] if limit else found

    def zrangebylex(self, key: bytes, low: bytes, offset: int, count: int) -> list[bytes]:
        """Members above `low` ("-", or "(" and a member); all scores must be equal."""
        members = [member for _, member in self.zset(key).ordered()]
        start = 0
        if low != b"-":
            start = bisect_left(members, low[1:])
            start += start < len(members) and members[start] == low[1:]
        return members[start + offset : start + offset + count]

    def zremrangebyscore(self, key: bytes, low: bytes, high: bytes) -> int:
        if key not in self.keys:
            return 0
        return self.zrem(key, *self.zset(key).between(low, high))

    # --- streams: only the last event is kept ---

    def xadd(self, key: bytes, *arguments: bytes) -> bytes:
        at = arguments.index(b"*")
        self._events += 1
        name = b"%d-0" % self._events
        self.set(key, (name, arguments[at + 1 :]))  # type: ignore[arg-type] # of a stream, only the last event is kept
        return name


def _slice(start: bytes, end: bytes, length: int) -> slice:
    """Redis's inclusive range, from its end for negative numbers."""
    first, last = int(start), int(end)
    first = max(first + length if first < 0 else first, 0)
    last = last + length if last < 0 else last
    return slice(first, max(last + 1, 0))
