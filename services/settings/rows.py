"""The rows of the table of settings: what each says of its variable, and the kinds of rows that occur often."""

from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass
from typing import Any

from services.settings.values import choice, clean, listing, whole_number

_KEY = "setting"  # of a row in its field's metadata


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class Carried:
    """How a setting is written on the card of its node, as JSON, and read from it (services/registry.py)."""

    write: Callable[[Any], Any] = _same
    read: Callable[[Any], Any] = _same


AS_IT_IS = Carried()


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table: an environment variable, and how it becomes a field."""

    variable: str
    read: Callable[[str], Any]  # raises BadValue or BadSettings
    default: Any  # the field without the variable, or a function that makes it from the fields above this one
    carried: Carried | None  # None: each process goes by its own value

    def default_after(self, above: Mapping[str, Any]) -> Any:
        """The field without the variable.

        Args:
            above: the fields above this one, by name.
        """
        return self.default(above) if callable(self.default) else self.default


Metadata = Mapping[str, Setting]


def setting(name: str, read: Callable[[str], Any], default: Any = None, carried: Carried | None = None) -> Metadata:
    """The row of the variable QUARRY_`name`, whose text must be clean."""
    return _row(name, lambda text: read(clean(text)), default, carried)


def number(name: str, default: int, low: int, high: int, carried: Carried | None = None) -> Metadata:
    """A whole number from `low` to `high`."""
    return setting(name, whole_number(low, high), default, carried)


def one_of(name: str, *choices: str, carried: Carried | None = None) -> Metadata:
    """One of some words, of which the first is the default."""
    return setting(name, choice(*choices), choices[0], carried)


def several(name: str, item: Callable[[str], Any], carried: Carried | None = None) -> Metadata:
    """A comma-separated list, empty by default. Each item must be clean; blanks around items are ignored."""
    return _row(name, listing(item), (), carried)


def row_of(field: "Field[Any]") -> Setting | None:
    """The row in a field's metadata; None: the field is not read from a variable."""
    return field.metadata.get(_KEY)


def _row(name: str, read: Callable[[str], Any], default: Any, carried: Carried | None) -> Metadata:
    return {_KEY: Setting(f"QUARRY_{name}", read, default, carried)}
