"""The table of methods. Each takes the node and the parameters, whose number was checked, and returns a JSON value."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Function = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Method:
    """One method: its function, how many parameters it takes at least and at most, and whether it is a control method.

    A control method changes the node or signs with a key of its own, so it exists only for those who `may_control`.
    Some methods exist for everybody and answer those more: they are `told` whether the caller may control.
    """

    function: Function
    least: int
    most: int
    controls: bool = False
    told: bool = False  # its function is `(node, controls, *parameters)`


Methods = Mapping[str, Method]
METHODS: dict[str, Method] = {}
NO_METHODS: Methods = {}


def method(
    name: str, least: int = 0, most: int | None = None, *, controls: bool = False, told: bool = False
) -> Callable[[Function], Function]:
    """Register a function `(node, *parameters)` as a JSON-RPC method."""

    def register(function: Function) -> Function:
        METHODS[name] = Method(function, least, least if most is None else most, controls, told)
        return function

    return register


def control_method(name: str, least: int = 0, most: int | None = None) -> Callable[[Function], Function]:
    """Register a function `(node, *parameters)` as a control method."""
    return method(name, least, most, controls=True)
