"""The URL of a Redis or Valkey, read strictly.

    redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE][?OPTION=VALUE&…]     rediss:// with TLS
    unix://[USER:PASSWORD@]/PATH[?db=DATABASE]
    redis+sentinel://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]…]/NAME[/DATABASE][?OPTION=VALUE&…]

The last one names Sentinels, which say where the server NAME is at the moment; `rediss+sentinel://` has TLS to both.
`valkey://` and `valkeys://` mean the same as `redis://` and `rediss://`. redis-py's own reader is lenient: it takes
`/abc` as database 0, passes unknown options to constructors, and repeats parts of passwords in its errors. Messages of
this module repeat nothing of the URL but names of options.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from services.settings.hosts import host_and_port
from services.settings.paths import expanded
from services.settings.values import BadValue, choice, flag, whole_number

_SENTINEL = "+sentinel"
_HOSTED = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss"}
_SCHEMES = _HOSTED | {name + _SENTINEL: kind + _SENTINEL for name, kind in _HOSTED.items()} | {"unix": "unix"}
_FORM = "redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]"
_SENTINEL_FORM = "redis+sentinel://[USER:PASSWORD@]HOST[:PORT],HOST[:PORT]/NAME[/DATABASE]"
_ESCAPES = "In user and password write % as %25, / as %2F, # as %23, ? as %3F, @ as %40, : as %3A and a blank as %20."
_PORT = 6379
_SENTINEL_PORT = 26_379
_MAX_SENTINELS = 15
_SERVICE = re.compile(r"[A-Za-z0-9._-]{1,64}")  # what Sentinel's own configuration accepts
_MAX_DATABASE = 65_535
_MAX_SOCKET_PATH = 107  # bytes: the system's limit
_ESCAPED = re.compile(r"%[0-9A-Fa-f]{2}")


def _login(text: str) -> str:
    if not text:
        raise BadValue("is empty; leave it out if there is none.")
    return text


def _file(text: str) -> str:
    path = expanded(text)
    if not path.exists():
        raise BadValue("must name a file that exists.")
    if not path.is_file():
        raise BadValue("must name a file, and names a directory or a device.")
    if not os.access(path, os.R_OK):
        raise BadValue("must name a file that this user may read.")
    return str(path)


def _directory(text: str) -> str:
    path = expanded(text)
    if not path.is_dir():
        raise BadValue("must name a directory that exists.")
    return str(path)


# Options for TLS. Timeouts, retries and the like belong to the code that uses the connection.
_TLS_OPTIONS: dict[str, Callable[[str], Any]] = {
    "ssl_cert_reqs": choice("required", "optional", "none"),
    "ssl_check_hostname": flag,
    "ssl_ca_certs": _file,
    "ssl_ca_path": _directory,
    "ssl_certfile": _file,
    "ssl_keyfile": _file,
}
# The login of the Sentinels themselves, where they ask for one.
_SENTINEL_OPTIONS = ("sentinel_user", "sentinel_password")
_READERS: dict[str, Callable[[str], Any]] = (
    {"db": whole_number(0, _MAX_DATABASE)} | _TLS_OPTIONS | dict.fromkeys(_SENTINEL_OPTIONS, _login)
)
OPTIONS = tuple(_READERS)


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """The parts of a URL, decoded."""

    scheme: str  # redis, rediss, unix, redis+sentinel, rediss+sentinel
    user: str
    password: str = field(repr=False)
    host: str  # "" with unix and Sentinels
    port: int  # 0 with unix and Sentinels
    path: str  # of the socket; "" with a host
    database: int
    options: tuple[tuple[str, Any], ...]  # for TLS
    sentinels: tuple[tuple[str, int], ...] = ()  # host and port of each
    service: str = ""  # the name by which the Sentinels know the server
    sentinel_user: str = ""
    sentinel_password: str = field(default="", repr=False)

    @property
    def login(self) -> tuple[str, str]:
        """User and password."""
        return self.user, self.password

    @property
    def has_tls(self) -> bool:
        return self.scheme.startswith("rediss")

    def arguments(self) -> dict[str, Any]:
        """The arguments for redis-py's connection classes."""
        found: dict[str, Any] = {"db": self.database, **dict(self.options)}
        if not self.sentinels:
            found |= {"path": self.path} if self.path else {"host": self.host, "port": self.port}
        return _finished(found, self.user, self.password)

    def sentinel_arguments(self) -> dict[str, Any]:
        """The arguments for redis-py's connections to the Sentinels, without host and port."""
        return _finished(dict(self.options), self.sentinel_user, self.sentinel_password)

    @property
    def public(self) -> str:
        """The URL to show: without user, password and options."""
        if self.path:
            return f"unix://{quote(self.path)}"
        return f"{self.scheme}://{self.place}"

    @property
    def place(self) -> str:
        """What follows the login, without options: hosts, ports and database."""
        if self.sentinels:
            hosts = ",".join(f"{_shown(host)}:{port}" for host, port in self.sentinels)
            return f"{hosts}/{self.service}/{self.database}"
        return f"{_shown(self.host)}:{self.port}/{self.database}"


def _finished(found: dict[str, Any], user: str, password: str) -> dict[str, Any]:
    if user:
        found["username"] = user
    if password:
        found["password"] = password
    if found.get("ssl_cert_reqs") == "none":
        found["ssl_check_hostname"] = False
    return found


def parse(text: str) -> RedisUrl:
    """The parts of a URL.

    Raises:
        BadValue: the message says what is wrong, and repeats no part of the URL.
    """
    scheme, colon, rest = text.partition("://")
    kind = _SCHEMES.get(scheme.lower()) if colon else None
    if kind is None:
        raise BadValue(
            f"must look like {_FORM}; rediss://, unix://, valkey://, valkeys:// and redis+sentinel:// are accepted too."
        )
    try:
        return _parsed(kind, rest)
    except BadValue as error:
        # What looks like a host, port or path may be the end of a password that was not escaped.
        raise BadValue(f"{error} {_ESCAPES}" if "@" in rest else str(error)) from None


def normal(text: str) -> str:
    """The URL in its normal form, with port and database: two URLs of one database are equal."""
    return written(parse(text))


def normal_store(text: str) -> str:
    """As `normal`, for the store of a chain, which cannot be behind Sentinels.

    Replication is asynchronous: a replica that takes over may lack blocks and transactions that were acknowledged.
    """
    if text.partition("://")[0].lower().endswith(_SENTINEL):
        raise BadValue(
            "cannot name Sentinels: a replica that takes over may lack acknowledged blocks. Only QUARRY_BROKER_URL can."
        )
    return normal(text)


def written(parts: RedisUrl) -> str:
    """The URL that has these parts."""
    secret = (
        f"{quote(parts.user, safe='')}:{quote(parts.password, safe='')}"
        if parts.password
        else quote(parts.user, safe="")
    )
    login = f"{secret}@" if secret else ""
    named = (*parts.options, ("sentinel_user", parts.sentinel_user), ("sentinel_password", parts.sentinel_password))
    options = "&".join(f"{name}={quote(_text(value), safe='/~')}" for name, value in named if value != "")
    if parts.path:
        database = f"?db={parts.database}" if parts.database else ""
        return f"unix://{login}{quote(parts.path)}{database}"
    return f"{parts.scheme}://{login}{parts.place}" + (f"?{options}" if options else "")


def _parsed(kind: str, rest: str) -> RedisUrl:
    if "#" in rest:
        raise BadValue("has a # in its URL.")
    if any(character.isspace() for character in rest):
        raise BadValue("has a blank in its URL.")
    if re.sub(_ESCAPED, "", rest).count("%"):
        raise BadValue("has a % in its URL that is not followed by two hexadecimal digits.")
    before, _, query = rest.partition("?")
    authority, slash, path = before.partition("/")
    login, at, place = authority.rpartition("@")
    user, colon, password = login.partition(":")
    if at and colon and not password:
        raise BadValue("has an empty password; leave the colon out if there is none.")
    if "@" in path or "@" in query:
        raise BadValue("has an @ after its host.")
    options = _options(query)
    database = options.pop("db", None)
    sentinel_login = [options.pop(name, "") for name in _SENTINEL_OPTIONS]
    sentinels: tuple[tuple[str, int], ...] = ()
    service = ""
    if any(sentinel_login) and not kind.endswith(_SENTINEL):
        raise BadValue("has the option sentinel_user or sentinel_password, which are for redis+sentinel:// only.")
    if sentinel_login[0] and not sentinel_login[1]:
        raise BadValue("has the option sentinel_user without sentinel_password.")
    if kind == "unix":
        if place or not path:
            raise BadValue("must be unix:///PATH with three slashes, the path of the socket.")
        if options:
            raise BadValue(f"has the option {next(iter(options))}, which is for rediss:// only.")
        host, port, path = "", 0, _socket_path("/" + path)
    elif kind.endswith(_SENTINEL):
        host, port, sentinels = "", 0, _sentinels(place)
        service, slash, path = path.partition("/")
        if not _SERVICE.fullmatch(service):
            raise BadValue(
                "must name the server after the Sentinels' hosts, by the name in their configuration, as in "
                f"{_SENTINEL_FORM}."
            )
    else:
        host, port = host_and_port(place, _PORT, _FORM, "redis://[::1]:6379/0", unescaped=_unescaped)
    if kind != "unix":
        if slash and path:
            if database is not None:
                raise BadValue("names the database twice: in its path and as the option db.")
            database = _database(path)
        path = ""
    if options and not kind.startswith("rediss"):
        raise BadValue(f"has the option {next(iter(options))}, which is for rediss:// only.")
    return RedisUrl(
        kind,
        _unescaped(user),
        _unescaped(password),
        host,
        port,
        path,
        database or 0,
        tuple(options.items()),
        sentinels,
        service,
        *sentinel_login,
    )


def _sentinels(text: str) -> tuple[tuple[str, int], ...]:
    items = text.split(",")
    if len(items) > _MAX_SENTINELS:
        raise BadValue(f"names more than {_MAX_SENTINELS} Sentinels.")
    example = "redis+sentinel://[::1]:26379/mymaster/0"
    found = [host_and_port(item, _SENTINEL_PORT, _SENTINEL_FORM, example, unescaped=_unescaped) for item in items]
    if len(set(found)) < len(found):
        raise BadValue("names a Sentinel twice.")
    return tuple(found)


def _database(text: str) -> int:
    try:
        return whole_number(0, _MAX_DATABASE)(text)
    except BadValue:
        raise BadValue("names a database that is not a number (the part after the host's slash).") from None


def _options(query: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in filter(None, query.split("&")):
        name, _, value = item.partition("=")
        if not re.fullmatch(r"[a-z_]{1,40}", name):
            raise BadValue(f"has an unknown option; Quarry takes {', '.join(OPTIONS)}.")
        if name not in OPTIONS:
            raise BadValue(f"has the option {name}, which Quarry does not take; it takes {', '.join(OPTIONS)}.")
        if name in found:
            raise BadValue(f"has the option {name} twice.")
        try:
            found[name] = _READERS[name](_unescaped(value))
        except BadValue as error:
            raise BadValue(f"has the option {name}, which {error}") from None
    return found


def _socket_path(text: str) -> str:
    path = _unescaped(text)
    if len(path.encode()) > _MAX_SOCKET_PATH:
        raise BadValue(f"names a socket whose path has more than {_MAX_SOCKET_PATH} bytes.")
    return str(Path(path))


def _unescaped(text: str) -> str:
    try:
        found = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise BadValue("has escapes in its URL that are not UTF-8.") from None
    if "\0" in found:
        raise BadValue("has a zero byte in its URL.")
    return found


def _shown(host: str) -> str:
    return f"[{quote(host, safe=':')}]" if ":" in host else host


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
