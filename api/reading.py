"""Reading requests strictly: bodies, and the few numbers and hashes in paths and queries."""

import re
from collections.abc import Sequence
from typing import Any, TypeVar

from flask import request

from api.errors import HttpRefusal
from shared import wire
from shared.errors import InputError

Choice = TypeVar("Choice", bound=str)

MAX_PAGE = 500
_ID = re.compile(r"[0-9a-f]{32}")
_NUMBER = re.compile(r"[0-9]{1,15}")
# As programs print numbers of this range; the exponent is that of one that is nearly 0.
_SECONDS = re.compile(r"[0-9]{1,4}(\.[0-9]{1,20})?(e-[0-9]{1,3})?")


def check_length() -> None:
    """Refuse a body that is too large or of unknown length, whether anybody is going to read it or not.

    Raises:
        HttpRefusal: 411, 413.
    """
    if request.content_length is None:
        if "Transfer-Encoding" in request.headers:
            raise HttpRefusal(411, "length_required", "The request must say the length of its body (Content-Length).")
    elif request.max_content_length is not None and request.content_length > request.max_content_length:
        raise HttpRefusal(413, "too_large", f"A body may have {request.max_content_length} bytes at most.")


def json_body(*, floats: bool = False) -> Any:
    """The request's JSON, read strictly; with fractions only where `floats` says so.

    Raises:
        HttpRefusal: 415 for another type or an encoded body. `check_length` has refused others before.
        InputError: it is not strict JSON.
    """
    if request.mimetype != "application/json":
        raise HttpRefusal(415, "wrong_content_type", "Send Content-Type: application/json.")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise HttpRefusal(415, "encoded_body", "Send the body as it is: compressed requests are refused.")
    return wire.parse(request.get_data(cache=False), floats=floats)


def number_argument(name: str, default: int, low: int, high: int) -> int:
    """A whole number from the query, in its range."""
    text = request.args.get(name)
    if text is None:
        return default
    if not _NUMBER.fullmatch(text) or not low <= int(text) <= high:
        raise InputError("bad_argument", f"{name} must be a whole number from {low} to {high}.", field=name)
    return int(text)


def choice_argument(name: str, choices: Sequence[Choice]) -> Choice:
    """One of a few words from the query; without it the first of them."""
    text = request.args.get(name)
    if text is None:
        return choices[0]
    for choice in choices:
        if text == choice:
            return choice
    raise InputError("bad_argument", f"{name} must be {' or '.join(choices)}.", field=name)


def seconds_argument(name: str, default: float, high: float) -> float:
    """Seconds from the query, at most `high`."""
    text = request.args.get(name)
    if text is None:
        return default
    if not _SECONDS.fullmatch(text) or float(text) > high:
        raise InputError("bad_argument", f"{name} must be seconds from 0 to {high:g}.", field=name)
    return float(text)


def is_id(text: str) -> bool:
    """Whether a text may be the id of a request or a round: 32 hex digits."""
    return _ID.fullmatch(text) is not None


def is_height(text: str) -> bool:
    """Whether `text` can be a height."""
    return _NUMBER.fullmatch(text) is not None
