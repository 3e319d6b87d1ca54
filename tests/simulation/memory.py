"""A Redis in memory: the commands that Quarry uses, and its Lua scripts, without a protocol in between.

Replies have the shapes that redis-py gives them. `test_memory.py` holds it to fakeredis: the same schedule on either ends
with the same log and the same keys. It is about twenty times faster, and that is the number of schedules that a minute
buys. Nothing expires, since no schedule is as long as the shortest expiry of a key.
"""

import hashlib
import json
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from typing import Any

from lupa.lua51 import LuaRuntime
from redis.exceptions import ResponseError

_PRELUDE = """
redis = {
  call = python_call,
  error_reply = function(message) return {err = message} end,
}
cjson = {encode = python_encode}
"""


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
        self.changed: set[bytes] = set()  # keys written since somebody emptied this
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

    def ltrim(self, key: bytes, start: bytes, end: bytes) -> bool:
        value = self._get(key, list)
        value[:] = value[_slice(start, end, len(value))]
        self._tidy(key, value)
        return True

    def rpush(self, key: bytes, *items: bytes) -> int:
        value = self._get(key, list)
        value.extend(items)
        return len(value)

    def lpop(self, key: bytes) -> bytes | None:
        return self._pop(key, 0)

    def rpop(self, key: bytes) -> bytes | None:
        return self._pop(key, -1)

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
        value = self._get(key, SortedSet)
        return sum(value.add(member, float(score)) for score, member in zip(pairs[::2], pairs[1::2], strict=True))

    def zrem(self, key: bytes, *members: bytes) -> int:
        value = self._get(key, SortedSet)
        gone = sum(value.remove(member) for member in members)
        self._tidy(key, value)
        return gone

    def _zset(self, key: bytes) -> SortedSet:
        found: SortedSet = self.keys.get(key) or SortedSet()
        return found

    def zcard(self, key: bytes) -> int:
        return len(self._zset(key).scores)

    def zscore(self, key: bytes, member: bytes) -> bytes | None:
        score = self._zset(key).scores.get(member)
        return None if score is None else to_bytes(score)

    def zcount(self, key: bytes, low: bytes, high: bytes) -> int:
        return len(self._zset(key).between(low, high))

    def zrange(self, key: bytes, start: bytes, end: bytes) -> list[bytes]:
        ordered = self._zset(key).ordered()
        return [member for _, member in ordered[_slice(start, end, len(ordered))]]

    def zrevrange(self, key: bytes, start: bytes, end: bytes) -> list[bytes]:
        ordered = self._zset(key).ordered()[::-1]
        return [member for _, member in ordered[_slice(start, end, len(ordered))]]

    def zrangebyscore(self, key: bytes, low: bytes, high: bytes, *limit: bytes) -> list[bytes]:
        found = self._zset(key).between(low, high)
        return found[int(limit[1]) : int(limit[1]) + int(limit[2])] if limit else found

    def zrangebylex(self, key: bytes, low: bytes, offset: int, count: int) -> list[bytes]:
        """Members above `low` ("-", or "(" and a member); all scores must be equal."""
        members = [member for _, member in self._zset(key).ordered()]
        start = 0
        if low != b"-":
            start = bisect_left(members, low[1:])
            start += start < len(members) and members[start] == low[1:]
        return members[start + offset : start + offset + count]

    def zremrangebyscore(self, key: bytes, low: bytes, high: bytes) -> int:
        if key not in self.keys:
            return 0
        return self.zrem(key, *self._zset(key).between(low, high))

    # --- streams: only that something happened, and what last ---

    def xadd(self, key: bytes, *arguments: bytes) -> bytes:
        at = arguments.index(b"*")
        self._events += 1
        name = b"%d-0" % self._events
        self.set(key, (name, arguments[at + 1 :]))  # type: ignore[arg-type] # a stream is kept as its last event
        return name


def _slice(start: bytes, end: bytes, length: int) -> slice:
    """Redis's inclusive range, from its end for negative numbers."""
    first, last = int(start), int(end)
    first = max(first + length if first < 0 else first, 0)
    last = last + length if last < 0 else last
    return slice(first, max(last + 1, 0))


class _Lua:
    """One interpreter for all databases: scripts see only what they are given."""

    def __init__(self) -> None:
        self.database = Database()
        self._runtime = LuaRuntime(encoding=None, unpack_returned_tuples=False, register_eval=False)
        self._commands: dict[bytes, str] = {b"DEL": "delete"}
        globals_ = self._runtime.globals()
        globals_.python_call, globals_.python_encode = self._call, self._encode
        self._runtime.execute(_PRELUDE)
        self._functions: dict[str, Any] = {}

    def run(self, text: str, database: Database, keys: Iterable[bytes], arguments: Iterable[bytes]) -> Any:
        function = self._functions.get(text)
        if function is None:
            function = self._functions[text] = self._runtime.eval(f"function(KEYS, ARGV)\n{text}\nend")
        self.database = database
        table = self._runtime.table_from
        return self._reply(function(table(keys), table(arguments)))

    def _call(self, command: bytes, *arguments: Any) -> Any:
        name = self._commands.get(command)
        if name is None:
            name = self._commands[command] = command.decode().lower()
        result = getattr(self.database, name)(
            *[item if type(item) is bytes else to_bytes(item) for item in arguments]
        )
        if result is None:
            return False
        if type(result) is list:
            return self._runtime.table_from([False if item is None else item for item in result])
        return result

    def _encode(self, table: Any) -> bytes:
        def number(value: Any) -> str:
            return f"{value:.14g}"

        pairs = (
            f"{json.dumps(name.decode())}:{json.dumps(value.decode()) if isinstance(value, bytes) else number(value)}"
            for name, value in table.items()
        )
        return ("{" + ",".join(pairs) + "}").encode()

    def _reply(self, value: Any) -> Any:
        if value is None or value is False:
            return None
        if isinstance(value, bytes | int):
            return value
        if isinstance(value, float):
            return int(value)
        if value[b"err"] is not None:
            raise ResponseError(value[b"err"].decode())
        items: list[Any] = []
        while (item := value[len(items) + 1]) is not None:
            items.append(self._reply(item))
        return items


@cache
def _lua() -> _Lua:
    return _Lua()


class Script:
    """A script as redis-py registers it."""

    def __init__(self, owner: "MemoryRedis", text: str) -> None:
        self._owner = owner
        self._text = text
        self.sha = hashlib.sha1(text.encode()).hexdigest()

    def __call__(self, *, keys: Iterable[Any], args: Iterable[Any], client: "MemoryPipeline | None" = None) -> Any:
        names, values = list(map(to_bytes, keys)), list(map(to_bytes, args))
        run = partial(_lua().run, self._text, self._owner.database, names, values)
        if client is not None:
            client.calls.append(run)
            return client
        return run()


class MemoryRedis:
    """One database with redis-py's methods."""

    def __init__(self) -> None:
        self.database = Database()

    def ping(self) -> bool:
        return True

    def close(self) -> None:
        pass

    def hgetall(self, name: str) -> dict[bytes, bytes]:
        return dict(self.database.keys.get(to_bytes(name), {}))

    def hmget(self, name: str, keys: Iterable[Any]) -> list[bytes | None]:
        return self.database.hmget(to_bytes(name), *map(to_bytes, keys))

    def zadd(self, name: str, mapping: Mapping[str, float]) -> int:
        pairs = [to_bytes(item) for member, score in mapping.items() for item in (score, member)]
        return self.database.zadd(to_bytes(name), *pairs)

    def zrange(self, name: str, start: Any, end: Any, **options: Any) -> list[bytes]:
        key, low, high = to_bytes(name), to_bytes(start), to_bytes(end)
        if options.get("bylex"):
            assert high == b"+"
            return self.database.zrangebylex(key, low, options["offset"], options["num"])
        if options.get("byscore"):
            return self.database.zrangebyscore(key, low, high, b"LIMIT", *map(to_bytes, _limit(options)))
        found = self.database.zrange(key, low, high)
        if options.get("withscores"):
            scores = self.database._zset(key).scores
            return [(member, scores[member]) for member in found]  # type: ignore[misc] # as redis-py
        return found

    def xrevrange(self, name: str, *, count: int) -> list[Any]:
        found = self.database.keys.get(to_bytes(name))
        return [] if found is None else [found]

    def scan_iter(self, match: str = "*", count: int = 0) -> list[bytes]:
        assert match == "*"
        return list(self.database.keys)

    def pipeline(self, *, transaction: bool) -> "MemoryPipeline":
        return MemoryPipeline(self)

    def register_script(self, script: str) -> Script:
        return Script(self, script)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        command = getattr(Database, name)

        def call(*arguments: Any) -> Any:
            return command(self.database, *map(to_bytes, arguments))

        self.__dict__[name] = call
        return call


def _limit(options: Mapping[str, Any]) -> tuple[int, int]:
    return options["offset"], options["num"]


class MemoryPipeline:
    """Calls that `execute` makes one after the other."""

    def __init__(self, owner: MemoryRedis) -> None:
        self._owner = owner
        self.calls: list[Callable[[], Any]] = []

    def execute(self) -> list[Any]:
        calls, self.calls = self.calls, []
        return [call() for call in calls]

    def __getattr__(self, name: str) -> Callable[..., "MemoryPipeline"]:
        method = getattr(self._owner, name)

        def call(*arguments: Any, **options: Any) -> "MemoryPipeline":
            self.calls.append(partial(method, *arguments, **options))
            return self

        return call
