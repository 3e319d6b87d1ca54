"""Which blocks a request for a part of a chain means. A front answers such requests in place of its node."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qsl

STATUS, HEADERS, CHAIN = "/status", "/headers", "/chain"
_MOST = 500  # headers or blocks of one answer


def handles(method: str, path: str) -> bool:
    """Whether a request asks for something of a chain."""
    return method == "GET" and path.partition("?")[0] in (STATUS, HEADERS, CHAIN)


def heights_asked(path: str, tip: int, height_of: Callable[[list[str]], int]) -> range:
    """The heights of the headers or blocks that a request asks for.

    Args:
        tip: height of the chain's tip.
        height_of: the greatest height at which the chain has one of some blocks; 0: it has none of them.

    Raises:
        ValueError: a number is none.
    """
    name, _, query = path.partition("?")
    arguments = dict(parse_qsl(query))
    if name == HEADERS:
        locator = arguments.get("locator", "")
        first = height_of(locator.split(",") if locator else []) + 1
    else:
        first = max(1, int(arguments.get("from", 1)))
    limit = max(0, min(int(arguments.get("limit", _MOST)), _MOST))
    return range(first, min(first + limit - 1, tip) + 1)
