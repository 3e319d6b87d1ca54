"""Strict reading of requests: JSON bodies, and numbers, words and hashes in paths and queries."""

import re
from collections.abc import Sequence, Set
from typing import Any, TypeVar

from flask import request

from api.errors import HttpRefusal
from api.serving.gate import LARGE_BODY
from shared import wire
from shared.errors import InputError, ShapeError

Choice = TypeVar("Choice", bound=str)

MAX_PAGE = 500  # blocks or entries of one answer
MAX_HEIGHT = 10**15 - 1  # as many digits as `is_height` accepts
MAX_WAIT = 60.0  # seconds; a waiting request holds a thread of the server
_ID = re.compile(r"[0-9a-f]{32}")
_NUMBER = re.compile(r"[0-9]{1,15}")
# As programs print numbers of this range. An exponent occurs in numbers close to 0.
_SECONDS = re.compile(r"[0-9]{1,4}(\.[0-9]{1,20})?(e-[0-9]{1,3})?")


def check_length() -> None:
    """Refuse a body that is too large or of unknown length, even if no view would read it. The gate has received large
    bodies only where they are allowed.

    Raises:
        HttpRefusal: 411, 413.
    """
    if request.content_length is None:
        if "Transfer-Encoding" in request.headers:
            raise HttpRefusal(411, "length_required", "The request must say the length of its body (Content-Length).")
    elif LARGE_BODY in request.environ:
        request.max_content_length = request.content_length
    elif request.max_content_length is not None and request.content_length > request.max_content_length:
        raise HttpRefusal(413, "too_large", f"A body may have {request.max_content_length} bytes at most.")


def json_body(*, floats: bool = False) -> Any:
    """The JSON of the request's body. Numbers with fractions are refused unless `floats` is set.

    Raises:
        HttpRefusal: 415, the body is of another type or is compressed.
        InputError: the body is not strict JSON.
    """
    if request.mimetype != "application/json":
        raise HttpRefusal(415, "wrong_content_type", "Send Content-Type: application/json.")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise HttpRefusal(415, "encoded_body", "Send the body uncompressed.")
    return wire.parse(request.get_data(cache=False), floats=floats)


def json_fields(fields: Set[str], help_text: str, optional: Set[str] = frozenset()) -> dict[str, Any]:
    """The object in the request's body, which has these fields and no others.

    Args:
        help_text: what to send; it is the message of the error.
        optional: fields that may be there as well.

    Raises:
        HttpRefusal: as `json_body`.
        InputError, ShapeError: `not_an_object`, `wrong_fields`; or the body is not strict JSON.
    """
    body = json_body()
    if not isinstance(body, dict):
        raise InputError("not_an_object", help_text)
    if not fields <= body.keys() <= fields | optional:
        raise ShapeError("wrong_fields", help_text)
    return body


def argument(name: str) -> str | None:
    """The text of an argument in the query; None if it is not there.

    Raises:
        InputError: it is there twice. Readers differ in which one counts, so a proxy may have checked the other.
    """
    texts = request.args.getlist(name)
    if len(texts) > 1:
        raise InputError("bad_argument", f"{name} must not be in the query twice.", field=name)
    return texts[0] if texts else None


def number_argument(name: str, default: int, low: int, high: int) -> int:
    """A whole number from the query, from `low` to `high`. Raises: InputError."""
    text = argument(name)
    if text is None:
        return default
    if not _NUMBER.fullmatch(text) or not low <= int(text) <= high:
        raise InputError("bad_argument", f"{name} must be a whole number from {low} to {high}.", field=name)
    return int(text)


def choice_argument(name: str, choices: Sequence[Choice]) -> Choice:
    """One of `choices` from the query; the first if the query has none. Raises: InputError."""
    text = argument(name)
    if text is None:
        return choices[0]
    for choice in choices:
        if text == choice:
            return choice
    raise InputError("bad_argument", f"{name} must be {' or '.join(choices)}.", field=name)


def seconds_argument(name: str, default: float, high: float) -> float:
    """Seconds from the query, from 0 to `high`. Raises: InputError."""
    text = argument(name)
    if text is None:
        return default
    if not _SECONDS.fullmatch(text) or float(text) > high:
        raise InputError("bad_argument", f"{name} must be seconds from 0 to {high:g}.", field=name)
    return float(text)


def is_id(text: str) -> bool:
    """Whether `text` can be the id of a mining request or a round: 32 lower-case hex digits."""
    return _ID.fullmatch(text) is not None


def is_height(text: str) -> bool:
    """Whether `text` can be a height: 1 to 15 digits."""
    return _NUMBER.fullmatch(text) is not None
