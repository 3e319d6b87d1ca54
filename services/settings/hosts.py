"""Hosts and origins in settings, and the address that a server binds to."""

import ipaddress
import re
import socket
from collections.abc import Callable
from functools import cache

from services.settings.values import BadValue, whole_number

# RFC 1123, with the underscore that container networks allow.
_NAME = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
)
# Resolvers accept other spellings of IPv4 addresses: 127.1, 0x7f000001, 2130706433.
NUMERIC_END = re.compile(r"(?:.*\.)?(?:0x[0-9a-f]*|[0-9]+)")
# What browsers send as Origin: scheme, host, and the port if it is not the scheme's own.
_ORIGIN = re.compile(
    r"(?P<scheme>https?|[a-z]+(?:-[a-z]+)*-extension)://(?P<host>\[[0-9a-f:.]+\]|[^][/:?#@\s]+)(?::(?P<port>[0-9]+))?"
)
_OWN_PORT = {"http": 80, "https": 443}
LOCALHOST = "localhost"


def normal_host(text: str) -> str:
    """A host without its port: a name in lower case, or an IP address in its usual spelling, without brackets.

    Raises:
        BadValue: it is neither.
    """
    host = text.lower().removesuffix(".")
    if "://" in text:
        raise BadValue("must be a host only, without http://.")
    if host == "*":
        raise BadValue("must be a name or an address; 0.0.0.0 and :: stand for all addresses.")
    inner = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        found = ipaddress.ip_address(inner)
    except ValueError:
        pass
    else:
        if inner is not host and found.version == 4:
            raise BadValue("must have brackets around IPv6 addresses only.")
        return str(found)
    if re.fullmatch(r"(?:\[.*\]|[^:]*):[0-9]*", host):
        raise BadValue("must be a host only, without a port.")
    if not _NAME.fullmatch(host) or NUMERIC_END.fullmatch(host):
        raise BadValue("must be a name or an IP address in its usual spelling.")
    return host


@cache  # each JSON-RPC request asks
def is_loopback(host: str) -> bool:
    """Whether a host in normal form is this machine for itself alone."""
    if host == LOCALHOST:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, which may resolve to any address
        return False


def bind_address(host: str) -> str:
    """The IP address of a host in normal form, for a server to bind to.

    Raises:
        BadValue: a name that this machine cannot resolve.
    """
    if host == LOCALHOST:
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise BadValue("is a name that this machine cannot resolve; give an IP address of this machine.") from None
    return str(found[0][4][0])


def normal_origin(text: str) -> str:
    """A web origin as browsers write it: `https://example.org`, `http://localhost:3000`.

    Raises:
        BadValue: it is not an origin, or stands for several.
    """
    if text in ("*", "null"):
        raise BadValue(f"cannot be {text}: name each origin, such as https://example.org.")
    parts = _ORIGIN.fullmatch(text.lower())
    if parts is None or "*" in text:
        raise BadValue(
            "must hold origins such as https://example.org or http://localhost:3000: scheme, host and perhaps a port, "
            "without a path, a slash at the end or a wildcard."
        )
    scheme, port = parts["scheme"], parts["port"]
    if port is not None and (len(port) > 5 or not 0 < int(port) < 65536 or port.startswith("0")):
        raise BadValue("has an origin whose port is not from 1 to 65535.")
    host = normal_host(parts["host"])
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}" + ("" if port is None or int(port) == _OWN_PORT.get(scheme) else f":{port}")


def host_and_port(
    text: str, default: int, form: str, bracketed: str, *, unescaped: Callable[[str], str] = str
) -> tuple[str, int]:
    """The host, as `normal_host` has it, and the port of the part of a URL between its login and its path.

    Args:
        default: the port if the text has none.
        form: what the URL must look like, for messages.
        bracketed: such a URL with an IPv6 address.
        unescaped: undoes the escapes that the host may have.

    Raises:
        BadValue: the message repeats nothing of the text, which may be the end of a password.
    """
    if text.startswith("["):
        host, bracket, after = text.partition("]")
        host, colon, port = host + bracket, after[:1], after[1:]
        if colon not in ("", ":"):
            raise BadValue("must have a colon or nothing between host and port.")
    else:
        host, colon, port = text.partition(":")
        if ":" in port:
            raise BadValue(f"must have brackets around an IPv6 address, as in {bracketed}.")
    if not host:
        raise BadValue("names no host.")
    try:
        found = normal_host(unescaped(host))
    except BadValue:
        raise BadValue(f"names a host that is neither a name nor an IP address; it must look like {form}.") from None
    try:
        return found, whole_number(1, 65_535)(port) if colon else default
    except BadValue:
        raise BadValue(f"has a port that is not a number from 1 to 65535; it must look like {form}.") from None
