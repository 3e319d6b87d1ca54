"""Which URLs a peer may have, and to which addresses this node connects. A peer's URL is untrusted input.

Without these checks a node could be made to fetch from its own network: from metadata services, routers or Redis.
"""

import ipaddress
import re
from urllib.parse import urlsplit

from services.settings.hosts import LOCALHOST, NUMERIC_END
from shared.errors import InputError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_URL = 255
# Host, port and nothing else: no other text reaches a more forgiving parser.
_URL = re.compile(
    r"(?:(?P<scheme>https?)://)?(?:\[(?P<six>[0-9a-f:.]+)\]|(?P<host>[a-z0-9._-]+))(?::(?P<port>[0-9]+))?/?"
)
# Names by RFC 1123. The last label must not be a number, or the name would be another spelling of an IPv4 address.
_NAME = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-_]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-_]{0,61}[a-z0-9])?")

# Cloud metadata services outside the link-local range.
_METADATA = frozenset(map(ipaddress.ip_address, ("100.100.100.200", "192.0.0.192", "fd00:ec2::254", "168.63.129.16")))
# NAT64 (RFC 6052), its local prefix (RFC 8215), and the IPv4-compatible addresses of old.
_IPV4_AT_THE_END = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::/96")))


def normal_url(text: object) -> str:
    """The normal form of a peer's URL: scheme, host, port if it is not the scheme's own; no trailing slash.

    Raises:
        InputError: `bad_peer_url`: not http(s), with user, path or query, or with an address in an odd spelling.
    """
    if not isinstance(text, str) or not 0 < len(text) <= MAX_URL or not text.isascii():
        raise _bad("A peer's URL is http(s)://HOST:PORT.")
    parts = _URL.fullmatch(text.lower())
    if parts is None:
        raise _bad("A peer's URL is http(s)://HOST:PORT, without user, path, query or fragment.")
    scheme = parts["scheme"] or "http"  # the tutorial registers peers without a scheme too
    port = parts["port"]
    if port is not None and (port.startswith("0") or len(port) > 5 or int(port) > 65535):
        raise _bad("The port of a peer's URL is a number from 1 to 65535.")
    host = _normal_host(parts["host"]) if parts["six"] is None else _normal_six(parts["six"])
    standard = "443" if scheme == "https" else "80"
    return f"{scheme}://{host}" + ("" if port in (None, standard) else f":{port}")


def check_address(url: str, *, private: bool) -> None:
    """Refuse a URL in normal form whose host is an address that this node never connects to.

    The addresses of a name are only known when it is resolved, so names pass here and are checked at each connection.

    Raises:
        InputError: `bad_peer_url`.
    """
    address = literal_address(urlsplit(url).hostname or "")
    if address is not None and not may_connect(address, private=private):
        raise _bad("The address is one that this node does not connect to (QUARRY_PRIVATE_PEERS).")


def literal_address(host: str) -> Address | None:
    """The address that a host of a normal URL is, without brackets; None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def is_local_name(host: str) -> bool:
    """Whether a host of a normal URL is a name that stands for the machine on which it is resolved (RFC 6761)."""
    return host == LOCALHOST or host.endswith(f".{LOCALHOST}")


def _normal_six(text: str) -> str:
    try:
        return f"[{ipaddress.IPv6Address(text)}]"
    except ValueError:
        raise _bad("The host of a peer's URL is not an address.") from None


def _normal_host(host: str) -> str:
    try:
        return str(ipaddress.IPv4Address(host))
    except ValueError:
        pass
    if not _NAME.fullmatch(host) or NUMERIC_END.fullmatch(host):
        raise _bad("The host of a peer's URL is a name or an address in its usual spelling.")
    return host


def may_connect(address: Address, *, private: bool) -> bool:
    """Whether a peer may be at `address`.

    Args:
        private: whether this node's peers may be on this machine or in a private network.

    Never at metadata services or link-local addresses. An address that embeds an IPv4 address is judged by that one,
    and needs `private`.
    """
    inner = _embedded(address)
    if inner is not None:
        return private and may_connect(inner, private=True)
    if address in _METADATA or address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    if address.is_loopback:
        return private
    if address.is_reserved:
        return False
    if not address.is_global or (isinstance(address, ipaddress.IPv6Address) and address.is_site_local):
        return private
    return True


def _embedded(address: Address) -> Address | None:
    """The IPv4 address inside an IPv4-mapped, IPv4-compatible, 6to4, Teredo or NAT64 address."""
    if isinstance(address, ipaddress.IPv4Address) or address.is_loopback or address.is_unspecified:
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if any(address in network for network in _IPV4_AT_THE_END):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def _bad(message: str) -> InputError:
    return InputError("bad_peer_url", message, field="nodes")
