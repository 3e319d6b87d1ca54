"""The table of methods. Each takes the node and the parameters, whose number was checked, and returns a JSON value."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Function = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Method:
    """One method: its function, and how many parameters it takes at least and at most."""

    function: Function
    least: int
    most: int


METHODS: dict[str, Method] = {}


def method(name: str, least: int = 0, most: int | None = None) -> Callable[[Function], Function]:
    """Register a function `(node, *parameters)` as a JSON-RPC method."""

    def register(function: Function) -> Function:
        METHODS[name] = Method(function, least, least if most is None else most)
        return function

    return register
