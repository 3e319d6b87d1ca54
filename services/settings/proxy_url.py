"""The URL of a forward proxy, read strictly: `http://[USER:PASSWORD@]HOST[:PORT]`.

Messages of this module repeat nothing of the URL, which may hold a password.
"""

import re
from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import quote, unquote_to_bytes

from services.settings.hosts import host_and_port
from services.settings.values import BadValue

_FORM = "http://[USER:PASSWORD@]HOST[:PORT]"
_ESCAPES = "In user and password write % as %25, / as %2F, # as %23, ? as %3F, @ as %40, : as %3A and a blank as %20."
_PORT = 80
# Of user and password together, in bytes: proxies cut long headers off.
_MAX_LOGIN = 1024
_ESCAPED = re.compile(r"%[0-9A-Fa-f]{2}")
_LOGIN = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:-]*")  # what may stand there as it is: RFC 3986, userinfo


@dataclass(frozen=True, slots=True)
class ProxyUrl:
    """The parts of a URL, decoded."""

    host: str  # a name or an address, without brackets
    port: int
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @property
    def public(self) -> str:
        """The URL to show: without user and password."""
        return f"http://{self.authority}"

    @property
    def authority(self) -> str:
        """Host and port, as the header `Host` has them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def authorization(self) -> str | None:
        """The value of the header `Proxy-Authorization`; None without user and password."""
        if not self.user:
            return None
        return "Basic " + b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")


def parse(text: str) -> ProxyUrl:
    """The parts of a URL.

    Raises:
        BadValue: the message says what is wrong, and repeats no part of the URL.
    """
    scheme, colon, rest = text.partition("://")
    if not colon or scheme.lower() != "http":
        raise BadValue(f"must look like {_FORM}: the proxy is spoken to in plain HTTP, for https peers too.")
    try:
        return _parsed(rest)
    except BadValue as error:
        # What looks like a host or a port may be the end of a password that was not escaped.
        raise BadValue(f"{error} {_ESCAPES}" if "@" in rest else str(error)) from None


def normal(text: str) -> str:
    """The URL in its normal form, with its port."""
    parts = parse(text)
    if parts.authorization is None:
        return parts.public
    return f"http://{quote(parts.user, safe='')}:{quote(parts.password, safe='')}@{parts.authority}"


def _parsed(rest: str) -> ProxyUrl:
    login, at, place = rest.removesuffix("/").rpartition("@")
    if any(character in place for character in "/?#"):
        raise BadValue("must end after the port: a proxy has no path, query or fragment.")
    if not _LOGIN.fullmatch(re.sub(_ESCAPED, "", login)):
        raise BadValue("has a character in its user or password that must be escaped.")
    user, _, password = login.partition(":")
    if at and not user:
        raise BadValue("has an @ and no user before it.")
    if len(login) > _MAX_LOGIN:
        raise BadValue(f"has a user and password of more than {_MAX_LOGIN} bytes together.")
    host, port = host_and_port(place, _PORT, _FORM, "http://[::1]:3128")
    name = _unescaped(user)
    if ":" in name:
        raise BadValue("has a colon in its user, which HTTP's Basic login cannot express.")
    return ProxyUrl(host, port, name, _unescaped(password))


def _unescaped(text: str) -> str:
    try:
        found = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise BadValue("has escapes in its URL that are not UTF-8.") from None
    if any(ord(character) < 32 or ord(character) == 127 for character in found):
        raise BadValue("has a control character in its user or password.")
    return found
