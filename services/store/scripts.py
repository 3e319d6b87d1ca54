"""Loading the Lua scripts in `lua/`. A line `-- include: NAME` is replaced by that file's text."""

import hashlib
import re
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from typing import Any

from redis.exceptions import NoScriptError, ResponseError

from services.connections.request_client import RequestClient
from services.ports import Store

_INCLUDE = re.compile(r"^-- include: (\S+)$", re.MULTILINE)


@cache
def source(name: str) -> str:
    """The text of `lua/NAME.lua` with what it includes."""
    text = resources.files("services.store").joinpath("lua", f"{name}.lua").read_text("utf-8")
    return _INCLUDE.sub(lambda match: source(match.group(1)), text)


class Scripts:
    """The scripts, bound to one connection. Each is called by its SHA-1, and loaded if the server does not have it."""

    def __init__(self, redis: Store) -> None:
        self._redis = redis
        self._scripts: dict[str, Callable[..., Any]] = {}
        self._shas: dict[str, str] = {}  # as the server computes them

    def run(self, name: str, keys: list[str], args: list[Any]) -> Any:
        """Run `lua/NAME.lua`, which is atomic, and return its reply with bulk strings as bytes."""
        return self._script(name)(keys=keys, args=args)

    def run_many(self, name: str, keys: list[str], calls: list[list[Any]]) -> list[Any]:
        """Run a script once per list of arguments, in one round trip. Each run is atomic, their sequence is not."""
        if len(calls) == 1:
            return [self.run(name, keys, calls[0])]
        script = self._script(name)
        pipeline = self._redis.pipeline(transaction=False)
        for args in calls:
            script(keys=keys, args=args, client=pipeline)
        return pipeline.execute()

    def run_each(self, calls: Sequence[tuple[str, list[Any]]], keys: list[str]) -> list[Any]:
        """Run scripts, each with its arguments, in one round trip. Each run is atomic, their sequence is not.

        Returns:
            the reply of each, or the error (a RedisError) that the server gave in its place; the others have run.

        Raises:
            RedisError: the connection failed. Any of them may have run.
        """
        commands = [("EVALSHA", self._sha(name), len(keys), *keys, *args) for name, args in calls]
        if isinstance(self._redis, RequestClient):
            replies = self._redis.execute_each(commands)
        else:
            pipeline = self._redis.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            replies = pipeline.execute(raise_on_error=False)
        for place, reply in enumerate(replies):
            if isinstance(reply, NoScriptError):
                replies[place] = self._alone(calls[place][0], keys, calls[place][1])
        return replies

    def _alone(self, name: str, keys: list[str], args: list[Any]) -> Any:
        try:
            return self.run(name, keys, args)
        except ResponseError as error:
            return error

    def _sha(self, name: str) -> str:
        sha = self._shas.get(name)
        if sha is None:
            sha = self._shas[name] = hashlib.sha1(source(name).encode(), usedforsecurity=False).hexdigest()
        return sha

    def _script(self, name: str) -> Callable[..., Any]:
        script = self._scripts.get(name)
        if script is None:
            script = self._scripts[name] = self._redis.register_script(source(name))
        return script
