"""Readers of settings: each reads one kind of text strictly, and its message says what to write instead.

Python's own readers let typing errors pass: `int` takes `1_000`, ` 5 ` and `１２`.
"""

import re
import unicodedata
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from services.errors import BadSettings
from services.system.text_files import BadTextFile
from shared.addresses import parse_address
from shared.amounts import parse_amount
from shared.errors import InputError
from shared.hash_rate import parse_hash_rate

T = TypeVar("T")

_WHOLE = re.compile(r"0|[1-9][0-9]{0,17}")
_DECIMAL = re.compile(r"(?:0|[1-9][0-9]{0,8})(?:\.[0-9]{1,9})?")
NODE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_FLAGS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
_MAX_LENGTH = 8192


class BadValue(ValueError):
    """A value cannot be used. The message is the rest of a sentence that begins with the setting's name.

    It never repeats the value, which may hold a secret.
    """


def named(name: str, read: Callable[..., T], *arguments: Any) -> T:
    """The value that `read` returns for its arguments.

    Args:
        name: of the setting or option; the message begins with it.

    Raises:
        BadSettings: `read` refuses the value, or the file that it names.
    """
    try:
        return read(*arguments)
    except (BadValue, BadTextFile) as error:
        raise BadSettings(f"{name}: {error}") from None


def clean(text: str) -> str:
    """The text as it is.

    Raises:
        BadValue: blanks or quotes around it, control characters, or bytes that are not UTF-8. Env files, YAML and
            copying leave these behind; none of them is ever intended.
    """
    if not text:
        raise BadValue("must not be empty.")
    if text != text.strip():
        raise BadValue("has blanks or a line break around its value; remove them.")
    if len(text) > _MAX_LENGTH:
        raise BadValue(f"is longer than {_MAX_LENGTH} characters.")
    if text[0] in "'\"" and text[-1] == text[0]:
        raise BadValue("has quotes around its value; remove them.")
    if any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in text):
        raise BadValue("has a control character in its value.")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise BadValue("is not UTF-8.")
    return text


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """A reader of whole numbers from `low` to `high`: ASCII digits without sign, separator or leading zero."""

    def read(text: str) -> int:
        if not _WHOLE.fullmatch(text) or not low <= int(text) <= high:
            raise BadValue(f"must be a whole number from {low} to {high}, in digits only.")
        return int(text)

    return read


def seconds(high: float) -> Callable[[str], float]:
    """A reader of seconds from 0 to `high`, fractions allowed: `2`, `0.5`."""

    def read(text: str) -> float:
        if not _DECIMAL.fullmatch(text) or float(text) > high:
            raise BadValue(f"must be a number of seconds from 0 to {high:g}, such as 2 or 0.5.")
        return float(text)

    return read


def pause(low: float, high: float) -> Callable[[str], float]:
    """A reader of seconds from `low` to `high`, fractions allowed, or 0."""

    def read(text: str) -> float:
        if not _DECIMAL.fullmatch(text) or not (float(text) == 0 or low <= float(text) <= high):
            raise BadValue(f"must be a number of seconds from {low:g} to {high:g}, such as 2 or 0.5, or 0 for never.")
        return float(text)

    return read


def choice(*choices: str) -> Callable[[str], str]:
    """A reader of one of some words, in any case."""

    def read(text: str) -> str:
        if text.lower() not in choices:
            raise BadValue(f"must be one of {', '.join(choices)}.")
        return text.lower()

    return read


def flag(text: str) -> bool:
    """True or false."""
    try:
        return _FLAGS[text.lower()]
    except KeyError:
        raise BadValue("must be true or false (1, 0, yes, no, on and off are accepted too).") from None


def node_name(text: str) -> str:
    """The name of a node or of workers, which becomes part of Redis keys."""
    if not NODE_NAME.fullmatch(text):
        raise BadValue("must be 1 to 32 lower-case letters, digits and hyphens, and not begin with a hyphen.")
    return text


def address(text: str) -> str:
    """An address with its checksum, in its normal form."""
    return _checked(lambda: parse_address(text, field="it"))


def amount(text: str) -> int:
    """An amount of coins, in base units."""
    return _checked(lambda: parse_amount(text, field="it"))


def hash_rate(text: str) -> int:
    """Hashes per second, such as `2M`."""
    return _checked(lambda: parse_hash_rate(text, field="it"))


def share(text: str) -> float:
    """A part of the whole, 0 to 1."""
    if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,9})?", text) is None or not 0 <= float(text) <= 1:
        raise BadValue("must be a number from 0 to 1, such as 0.05.")
    return float(text)


def collector_url(text: str) -> str:
    """The URL of a collector of traces. User and password are refused, since the URL is shown in logs."""
    try:
        parts = urlsplit(text)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        fits = False
    if not fits or parts.username is not None or parts.password is not None or len(text) > 255:
        raise BadValue("must be a URL without user, such as http://127.0.0.1:4318/v1/traces.")
    return text


def listing(item: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    """A reader of a comma-separated list; blanks around items and empty items are ignored."""

    def read(text: str) -> tuple[T, ...]:
        parts = (part.strip(" \t\r\n") for part in text.split(","))
        return tuple(item(clean(part)) for part in parts if part)

    return read


def _checked(read: Callable[[], T]) -> T:
    try:
        return read()
    except InputError as error:
        raise BadValue(f"cannot be used: {error.message}") from None
