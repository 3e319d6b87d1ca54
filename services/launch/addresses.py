"""Where the servers of a node are reached."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

# Addresses that stand for all, and where this machine reaches a server that binds them.
ALL_ADDRESSES = {"0.0.0.0": "127.0.0.1", "::": "::1"}

_NO_LEASE = f"/leases/{'0' * 32}"  # no lease has this id


def url_of(address: str, port: int, scheme: str = "http") -> str:
    """The URL, on this machine, of a server that binds to an address, or to a name."""
    host = ALL_ADDRESSES.get(address, address)
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def door_port(url: str, rpc_url: object) -> int | None:
    """The port of the node's `quarry rpc`, by the `rpc_url` of its `/status`; None if there is none to go to.

    Args:
        url: where the node's API is asked. With https or a path it is a proxy's, which knows itself where `quarry rpc`
            is: it stays as it is.
    """
    try:
        given, named = urlsplit(url), urlsplit(rpc_url if isinstance(rpc_url, str) else "")
        port, own = named.port, given.port or 80
    except ValueError:
        return None
    direct = given.scheme == "http" and given.path in ("", "/") and given.username is None and bool(given.hostname)
    return port if direct and named.scheme == "http" and named.path in ("", "/") and port != own else None


def knows_voucher(report: Callable[[str, Mapping[str, Any]], object]) -> bool:
    """Whether a server knows a voucher, which also shows that it is the node's. Nothing changes there.

    Args:
        report: sends JSON to a path of the server, with the voucher; the `code` of the refusal.
    """
    return report(_NO_LEASE, {"shares": [], "hashes": 0}) == "unknown_lease"


def at_port(url: str, port: int) -> str:
    """The URL with another port. It is http, without a user and a path."""
    return url_of(urlsplit(url).hostname or "", port)
