"""Which URLs may be a peer, and which addresses may be connected to. A peer's URL is somebody's input.

Without these checks a node could be made to fetch from its own network: metadata services, routers, Redis.
"""

import ipaddress
import re
from urllib.parse import urlsplit

from shared.errors import InputError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_URL = 255
# Names by RFC 1123. The last label must not be a number, or the name would be another spelling of an IPv4 address.
_NAME = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-_]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-_]{0,61}[a-z0-9])?")
_NUMERIC_END = re.compile(r"(?:.*\.)?(?:0x[0-9a-f]*|[0-9]+)")

# Cloud metadata services outside the link-local range.
_METADATA = frozenset(map(ipaddress.ip_address, ("100.100.100.200", "192.0.0.192", "fd00:ec2::254", "168.63.129.16")))
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def normal_url(text: object) -> str:
    """The normal form of a peer's URL: scheme, host, port if it is not the scheme's own; no trailing slash.

    Raises:
        InputError: `bad_peer_url`: not http(s), with user, path or query, or with an address in an odd spelling.
    """
    if not isinstance(text, str) or not 0 < len(text) <= MAX_URL or not text.isascii() or not text.isprintable():
        raise _bad("A peer's URL is http(s)://HOST:PORT.")
    # The tutorial registers peers without a scheme too.
    parts = urlsplit(text if "://" in text else f"http://{text}")
    try:
        port = parts.port
    except ValueError:
        raise _bad("The port of a peer's URL is a number from 1 to 65535.") from None
    if parts.scheme not in ("http", "https") or port == 0:
        raise _bad("A peer's URL is http(s)://HOST:PORT.")
    if (
        "@" in parts.netloc
        or parts.path not in ("", "/")
        or parts.query
        or parts.fragment
        or "\\" in text
        or " " in text
    ):
        raise _bad("A peer's URL has no user, path, query or fragment.")
    host = _normal_host(parts.hostname or "")
    standard = 443 if parts.scheme == "https" else 80
    return f"{parts.scheme}://{host}" + ("" if port in (None, standard) else f":{port}")


def _normal_host(host: str) -> str:
    if ":" in host:
        try:
            return f"[{ipaddress.IPv6Address(host)}]"
        except ValueError:
            raise _bad("The host of a peer's URL is not an address.") from None
    try:
        return str(ipaddress.IPv4Address(host))
    except ValueError:
        pass
    if not _NAME.fullmatch(host) or _NUMERIC_END.fullmatch(host):
        raise _bad("The host of a peer's URL is a name or an address in its usual spelling.")
    return host


def may_connect(address: Address, *, private: bool) -> bool:
    """Whether a peer may be at `address`.

    Args:
        private: whether this node's peers may be on this machine or in a private network.

    Metadata services and link-local addresses never; addresses that wrap an IPv4 address count as that address too.
    """
    inner = _embedded(address)
    if inner is not None:
        return private and may_connect(inner, private=True)
    if address in _METADATA or address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    if address.is_loopback or not address.is_global:
        return private and not address.is_reserved
    return True


def _embedded(address: Address) -> Address | None:
    """The IPv4 address inside an IPv4-mapped, 6to4, Teredo or NAT64 address."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def _bad(message: str) -> InputError:
    return InputError("bad_peer_url", message, field="nodes")
