"""How bugs are planted in the node's code, and taken out again (mutants.py)."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pkgutil import resolve_name
from typing import Any
from unittest import mock

from services.store import scripts

Planting = Callable[[], AbstractContextManager[Any]]


def script(name: str, *changes: tuple[str, str]) -> Planting:
    """A bug in a Lua script: each old text, which must be there, replaced by the new one."""

    @contextmanager
    def plant() -> Iterator[None]:
        real = scripts.source.__wrapped__

        def mutated(wanted: str) -> str:
            text: str = real(wanted)
            if wanted == name:
                for old, new in changes:
                    assert old in text, f"{name}.lua has changed: {old!r} is not in it any more, so the mutant is none"
                    text = text.replace(old, new)
            return text

        with mock.patch.object(scripts, "source", mutated):
            yield

    return plant


def python(*patches: tuple[Any, str, Any]) -> Planting:
    """Bugs in Python: (module or class, name, replacement). A function's replacement takes what the function takes."""

    @contextmanager
    def plant() -> Iterator[None]:
        with ExitStack() as stack:
            for target, name, other in patches:
                place = resolve_name(target) if isinstance(target, str) else target
                _require_same_arguments(name, getattr(place, name), other)
                stack.enter_context(mock.patch.object(place, name, other))
            yield

    return plant


def _require_same_arguments(name: str, real: Any, other: Any) -> None:
    """A replacement that cannot be called as the function is would be found for its TypeError, and not for its bug."""
    if not callable(real):
        return
    wanted, found = (inspect.signature(function).parameters for function in (real, other))
    kinds = {item.kind for item in found.values()}
    if inspect.Parameter.VAR_POSITIONAL not in kinds:
        assert list(found) == list(wanted), f"{name} takes {list(wanted)} now, so the mutant is none"
