"""Reading JSON strictly, so that a text has the same value on every node.

Refused are: duplicate keys, since readers differ in which one counts; floats, NaN and Infinity, which hashed data does
not hold; unpaired surrogates and NUL, which UTF-8 or C strings cannot hold; nesting deeper than 32 levels; and numbers
of more than 4,300 digits, which take long to read.
"""

import json
import math
from typing import Any, NoReturn

from shared.errors import InputError

MAX_DEPTH = 32
# The largest integer that every JSON reader holds exactly (RFC 8259, section 6).
MAX_INTEGER = 2**53 - 1
# Python's own limit for converting text to int. 2^256 has 78 digits.
MAX_DIGITS = 4300

_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_ALL_BUT_BRACKETS = bytes(byte for byte in range(256) if byte not in b'"[]{}')


def parse(text: bytes, *, floats: bool = False) -> Any:
    """The value of one strict JSON text.

    Args:
        floats: accept fractions and exponents, for what the standard rules do not hash.

    Raises:
        InputError: `malformed_json`, `duplicate_key`, `float_refused`, `number_too_long`, `too_deep`, `bad_text`.
    """
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError("malformed_json", "The body is not UTF-8.") from None
    _check_depth(text)
    try:
        value = (_WITH_FLOATS if floats else _DECODER).decode(decoded)
    except InputError:
        raise
    except ValueError:
        raise InputError("malformed_json", "The body is not valid JSON.") from None
    # UTF-8 JSON cannot contain raw surrogates or NUL, only their escapes.
    if "\\u" in decoded:
        _check_text(value)
    return value


def parse_member(text: bytes) -> tuple[str, Any] | None:
    """Name and value of a strict JSON object with one member; None: it is something else."""
    try:
        value = parse(text, floats=True)
    except InputError:
        return None
    if not isinstance(value, dict) or len(value) != 1:
        return None
    [(name, item)] = value.items()
    return name, item


def _check_depth(text: bytes) -> None:
    """Refuse deep nesting before the decoder meets it.

    The decoder recurses in C. Python's recursion limit would stop it, but some libraries raise that limit for the whole
    process, and then 100 kB of brackets crash it. Here each round removes the innermost pairs of brackets.
    """
    # The number of opening brackets is an upper bound of the depth; most texts need no more than this check.
    if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
        return
    unescaped = text.replace(rb"\\", b"").replace(rb"\"", b"")
    outside = b"".join(unescaped.translate(_ONE_KIND, _ALL_BUT_BRACKETS).split(b'"')[::2])
    for _ in range(MAX_DEPTH):
        outside = outside.replace(b"[]", b"")
    if b"[]" in outside:
        raise InputError("too_deep", f"JSON is nested deeper than {MAX_DEPTH} levels.")
    if outside:
        raise InputError("malformed_json", "The body is not valid JSON: its brackets do not match.")


def _check_text(value: Any) -> None:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if not is_plain_text(item):
                raise InputError("bad_text", "Text holds NUL or an unpaired surrogate.")
        elif isinstance(item, dict):
            stack.extend(item)
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def is_plain_text(text: str) -> bool:
    """Whether `text` can be written as UTF-8 and holds no NUL."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\x00" not in text


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise InputError("duplicate_key", "A JSON object has the same key twice.")
    return value


def _no_float(_: str) -> NoReturn:
    raise InputError("float_refused", "Write amounts as strings: JSON fractions and exponents are refused.")


def _no_constant(_: str) -> NoReturn:
    raise InputError("malformed_json", "NaN and Infinity are not JSON.")


def _int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise InputError("number_too_long", f"A number has more than {MAX_DIGITS} digits.")
    return int(digits)


def _float(text: str) -> float:
    if len(text) > MAX_DIGITS:
        raise InputError("number_too_long", f"A number has more than {MAX_DIGITS} digits.")
    value = float(text)
    if not math.isfinite(value):
        raise InputError("float_refused", "A number is too large for a 64-bit float.")
    return value


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_no_float, parse_int=_int, parse_constant=_no_constant
)
_WITH_FLOATS = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_float, parse_int=_int, parse_constant=_no_constant
)
