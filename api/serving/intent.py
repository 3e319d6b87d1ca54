"""Whether the user of a browser intended a request. Both HTTP servers judge requests of miners by it.

Browsers state the reason of a request in headers that pages cannot forge. Programs send none of these headers, and
pass. A typed address has `Sec-Fetch-Site: none` and `Sec-Fetch-Mode: navigate`.
"""

from collections.abc import Callable, Collection
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

# Browsers set one of these on what they load ahead of time. Any value counts.
AHEAD_OF_TIME = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
# Every header by which a request is judged.
TELLING = (*AHEAD_OF_TIME, "Origin", "Referer", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest")
_MODES = frozenset({None, "navigate", "cors", "same-origin"})
_DESTINATIONS = frozenset({None, "document", "empty"})
_DEFAULT_PORTS = {"http": 80, "https": 443}


class NotIntended(NamedTuple):
    """Why a request that would change something is refused, with status 403."""

    code: Literal["cross_site", "not_asked_for"]
    detail: str


def judge(
    field: Callable[[str], str | None], host: str, origins: Collection[str] = (), page_port: int | None = None
) -> NotIntended | None:
    """Why a request that changes something is refused; None if it is not.

    Args:
        field: gives the value of a header; None if the request does not have it.
        host: of the request, with its port.
        origins: of other sites whose pages may call this server.
        page_port: the port at which pages of this node are served, if that is another one.
    """
    if any(field(name) for name in AHEAD_OF_TIME):
        return NotIntended("not_asked_for", "A request that is sent ahead of time may not change anything.")
    origin = field("Origin")
    invited = origin is not None and (origin in origins or (page_port is not None and _is_own(origin, host, page_port)))
    foreign = field("Sec-Fetch-Site") not in (None, "none", "same-origin") or any(
        source is not None and not _is_own(source, host) for source in (origin, field("Referer"))
    )
    if foreign and not invited:
        return NotIntended("cross_site", "A page of another site may not change anything here.")
    if field("Sec-Fetch-Mode") not in _MODES or field("Sec-Fetch-Dest") not in _DESTINATIONS:
        return NotIntended("not_asked_for", "An element that a page embeds may not change anything.")
    return None


def _is_own(source: str, host: str, page_port: int | None = None) -> bool:
    """Whether an Origin or a Referer is a page of this node: its host is that of the request, and its port is too, or
    is `page_port`.

    The scheme is not compared, since a proxy may speak TLS in front of this node.
    """
    try:
        found = urlsplit(source)
        port = found.port or _DEFAULT_PORTS[found.scheme]
        own = urlsplit(f"{found.scheme}://{host}")
        wanted = page_port or own.port or _DEFAULT_PORTS[found.scheme]
        return found.hostname == own.hostname and port == wanted
    except (ValueError, KeyError):  # such as "null"
        return False
