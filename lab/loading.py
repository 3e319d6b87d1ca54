"""Scenarios and strategies as files: find one by name or path, check it, and read its parameters.

A scenario file has a docstring, which a learner reads first, and `run(lab, *, nodes=4, ...)`. The keyword parameters of
`run` are what `--set` may change; `nodes` is also how many nodes the lab has. It may name two constants: `FIDELITY`,
which simulation suits it (`full` unless it says `tree`), and `SPEC_CHANGES`, fields of the chain spec that differ from
the built-in spec `lab`. A strategy file has one class with `on_found` and `on_heard`.
"""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, cast, get_args

import lab.scenarios
from lab.interface import LabError
from lab.strategy import Strategy

Fidelity = Literal["tree", "full"]
Value = int | float | str | bool
DEFAULT_NODES = 4
MOST_NODES = 64

_KINDS: dict[Any, str] = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


@dataclass(frozen=True)
class Scenario:
    """A scenario that was read and can run."""

    name: str
    text: str  # its docstring
    run: Callable[..., Any]
    parameters: Mapping[str, Value]  # with their defaults
    fidelity: Fidelity
    spec_changes: Mapping[str, Any]

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return self.text.partition("\n")[0].strip()

    def nodes(self, given: Mapping[str, Value]) -> int:
        """How many nodes its lab has."""
        return int(given.get("nodes", self.parameters.get("nodes", DEFAULT_NODES)))


def built_in() -> list[str]:
    """The names of the built-in scenarios, in order of the alphabet."""
    return sorted(module.name for module in pkgutil.iter_modules(lab.scenarios.__path__))


def load_scenario(name: str) -> Scenario:
    """A built-in scenario by its name, or one in a file by its path.

    Raises:
        LabError: it is not there, cannot be read, or is no scenario.
    """
    names = built_in()
    if name in names:
        module = _module(Path(lab.scenarios.__path__[0]) / f"{name}.py")
    elif name.endswith(".py") or "/" in name:
        module = _module(Path(name))
    else:
        near = difflib.get_close_matches(name, names, 1)
        hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(names)}."
        raise LabError(f"There is no scenario {name!r}. {hint} A file of your own ends in .py.")
    return _scenario(Path(name).stem, module)


def load_strategy(name: str) -> Callable[[], Strategy]:
    """The class of the strategy in a file.

    Raises:
        LabError: the file cannot be read, or has none or several strategies.
    """
    module = _module(Path(name))
    found = [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and value.__module__ == module.__name__
        and all(callable(getattr(value, method, None)) for method in ("on_found", "on_heard"))
    ]
    if len(found) != 1:
        raise LabError(f"{name} must have one class with on_found and on_heard; it has {len(found) or 'none'}.")
    try:
        strategy = found[0]()
    except Exception as error:
        raise LabError(f"{name}: {found[0].__name__}() failed: {_where(error, name)}.") from None
    if not isinstance(getattr(strategy, "name", None), str):
        raise LabError(f'{name}: the class {found[0].__name__} needs a name, such as name = "mine".')
    return cast(Callable[[], Strategy], found[0])


def read_parameters(scenario: Scenario, settings: Sequence[str]) -> dict[str, Value]:
    """What `--set name=value` gave, as values of the parameters' types.

    Raises:
        LabError: the scenario has no such parameter, or the value does not fit.
    """
    given: dict[str, Value] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise LabError(f"--set {setting}: write name=value, such as --set nodes=5.")
        if name not in scenario.parameters:
            known = ", ".join(f"{key}={value}" for key, value in scenario.parameters.items()) or "none"
            raise LabError(f"{scenario.name} has no parameter {name!r}. It has: {known}.")
        given[name] = _value(name, text, type(scenario.parameters[name]))
    if not 1 <= scenario.nodes(given) <= MOST_NODES:
        raise LabError(f"A lab has 1 to {MOST_NODES} nodes, not {scenario.nodes(given)}.")
    return given


def _value(name: str, text: str, kind: type) -> Value:
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        value: Value = kind(text)
    except (ValueError, KeyError):
        raise LabError(f"{name} is {_KINDS[kind]}, not {text!r}.") from None
    if isinstance(value, float) and not abs(value) < float("inf"):
        raise LabError(f"{name} is {_KINDS[kind]}, not {text!r}.")
    return value


def _scenario(name: str, module: ModuleType) -> Scenario:
    run = getattr(module, "run", None)
    if not callable(run):
        raise LabError(f"{name} has no function run(lab), so it is no scenario.")
    parameters = list(inspect.signature(run).parameters.values())
    if not parameters or parameters[0].kind not in (
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.POSITIONAL_ONLY,
    ):
        raise LabError(f"{name}: run must take the lab as its first argument: def run(lab).")
    defaults: dict[str, Value] = {}
    for parameter in parameters[1:]:
        if type(parameter.default) not in _KINDS:
            raise LabError(
                f"{name}: the parameter {parameter.name} of run needs a default that is a number, a text or a boolean."
            )
        defaults[parameter.name] = parameter.default
    fidelity: Any = getattr(module, "FIDELITY", "full")
    if fidelity not in get_args(Fidelity):
        raise LabError(f"{name}: FIDELITY is full or tree, not {fidelity!r}.")
    changes = getattr(module, "SPEC_CHANGES", {})
    if not isinstance(changes, Mapping):
        raise LabError(f"{name}: SPEC_CHANGES is a dict of fields of the chain spec.")
    return Scenario(name, inspect.cleandoc(module.__doc__ or ""), run, defaults, fidelity, dict(changes))


def _module(path: Path) -> ModuleType:
    if not path.is_file():
        raise LabError(f"{path} is not a file." if path.exists() else f"There is no file {path}.")
    spec = importlib.util.spec_from_file_location(f"lab_file_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise LabError(f"{path} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        place = path if error.lineno is None else f"{path}, line {error.lineno}"  # a binary file has no lines
        raise LabError(f"{place}: {error.msg}.") from None
    except (Exception, SystemExit) as error:
        raise LabError(f"{path} cannot be loaded: {_where(error, str(path))}.") from None
    return module


def _where(error: BaseException, path: str) -> str:
    """What went wrong, and the last line of the file in which it did."""
    at, line = error.__traceback__, None
    while at is not None:
        if at.tb_frame.f_code.co_filename.endswith(Path(path).name):
            line = at.tb_lineno
        at = at.tb_next
    place = f" (line {line})" if line is not None else ""
    said = f": {error}" if str(error) else ""
    return f"{type(error).__name__}{said}{place}"


def describe_error(error: BaseException, scenario: str) -> str:
    """One sentence about an error that a scenario or strategy raised."""
    return _where(error, f"{scenario}.py")
