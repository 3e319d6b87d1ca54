"""A Redis in memory: the commands that Quarry uses and its Lua scripts, without a protocol.

Replies have the types that redis-py gives them. A test compares it with fakeredis: the same schedule on either ends
with the same log and the same keys. It is many times faster, so many more schedules run in a minute. No key expires,
since no schedule is as long as the shortest expiry.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from typing import Any

from lupa.lua51 import LuaRuntime
from redis.exceptions import ResponseError

from lab.simulated.database import Database, to_bytes

_PRELUDE = """
redis = {
  call = python_call,
  error_reply = function(message) return {err = message} end,
}
cjson = {encode = python_encode}
"""


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
        result = getattr(self.database, name)(*[item if type(item) is bytes else to_bytes(item) for item in arguments])
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

    def hscan(self, name: str, cursor: int = 0, *, count: int = 0) -> tuple[int, dict[bytes, bytes]]:
        return 0, self.hgetall(name)

    def scan(self, cursor: int = 0, match: str = "*", count: int = 0) -> tuple[int, list[bytes]]:
        beginning = match.removesuffix("*").replace("[", "").replace("]", "").encode()
        return 0, [name for name in self.database.keys if name.startswith(beginning)]

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
            scores = self.database.zset(key).scores
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
    """Calls that `execute` makes in order."""

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
