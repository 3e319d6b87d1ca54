"""Loading the Lua scripts in `lua/`. A line `-- include: NAME` is replaced by that file's text."""

import re
from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Any

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

    def _script(self, name: str) -> Callable[..., Any]:
        script = self._scripts.get(name)
        if script is None:
            script = self._scripts[name] = self._redis.register_script(source(name))
        return script
