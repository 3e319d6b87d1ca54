"""Connections to Redis or Valkey: for requests, whose callers wait, and for jobs, which can wait for the store."""

import contextlib
import socket
import ssl
from typing import Any, cast

from redis import ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis import Redis as Redis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.connection import Connection
from redis.exceptions import AuthenticationError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError as NoPermissionError
from redis.exceptions import RedisError as RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from services.connections.request_client import RequestClient
from services.connections.sentinels import NoLeader, NoSuchService, Pool, Sentinels
from services.errors import BadSettings, StoreUnavailable
from services.ports import Store
from services.settings import redis_url
from services.settings.values import named

# Seconds in which Redis must answer the API. A request without its answer fails, and its caller may try again.
REQUEST_TIMEOUT = 2.0
# Scripts and replies need version 7.
LEAST_VERSION = 7
_ALERT_SECONDS = 0.5
# A thread uses one connection, or two if it reads while it watches. The rest are for threads that serve all others.
_PER_THREAD, _BESIDES = 2, 16

# OpenSSL's reasons: files that hold no certificate or key, or not those of each other; what a server says of ours.
_UNREADABLE = {"NO_CERTIFICATE_OR_CRL_FOUND", "NO_START_LINE", "PEM_LIB", "KEY_VALUES_MISMATCH", "BAD_BASE64_DECODE"}
_CLIENT_REFUSED = {
    f"{version}_ALERT_{what}"
    for version in ("TLSV1", "TLSV13", "SSLV3")
    for what in (
        "CERTIFICATE_REQUIRED",
        "UNKNOWN_CA",
        "DECRYPT_ERROR",
        "BAD_CERTIFICATE",
        "CERTIFICATE_EXPIRED",
        "CERTIFICATE_UNKNOWN",
    )
}

_KINDS = {"redis": Connection, "rediss": SSLConnection, "unix": UnixDomainSocketConnection}


def connect_for_requests(url: str, threads: int = 32) -> Redis:
    """For the API: no long waits, and no retries, since a command whose reply was cut off would run twice.

    Args:
        threads: how many threads use it at once; the pool has enough connections for all.
    """
    return _connect(
        url,
        RequestClient,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=REQUEST_TIMEOUT,
        socket_connect_timeout=REQUEST_TIMEOUT,
        health_check_interval=15,
        max_connections=_PER_THREAD * threads + _BESIDES,
    )


def connect_for_jobs(url: str) -> Redis:
    """For workers and tickers: retries for about a minute while Redis restarts. Every script is safe to repeat."""
    return _connect(
        url,
        retry=Retry(ExponentialBackoff(cap=2, base=0.1), 40),
        socket_connect_timeout=REQUEST_TIMEOUT,
        health_check_interval=15,
    )


def answers(url: str, seconds: float = 0.5) -> bool:
    """Whether a Redis answers at this URL within so many seconds."""
    with _connect(url, retry=Retry(NoBackoff(), 0), socket_timeout=seconds, socket_connect_timeout=seconds) as redis:
        try:
            return bool(redis.ping())
        except RedisError:
            return False


def _connect(url: str, client: type[Redis] = Redis, **arguments: Any) -> Redis:
    """A client whose connections are closed with it.

    Raises:
        BadSettings: the URL cannot be used; one from another machine may name files that are not here.
    """
    parts = named("The store's URL", redis_url.parse, url)
    if parts.scheme != "unix":
        arguments["socket_keepalive"] = True
    if parts.sentinels:
        sentinels = Sentinels(parts.sentinels, parts.sentinel_arguments(), tls=parts.has_tls)
        return client.from_pool(Pool(parts.service, sentinels, tls=parts.has_tls, **parts.arguments(), **arguments))
    return client.from_pool(ConnectionPool(connection_class=_KINDS[parts.scheme], **parts.arguments(), **arguments))


def as_store(redis: Redis) -> Store:
    """The connection as the store port: the same object, typed by the replies that Quarry gets."""
    return cast(Store, redis)


def require_usable(redis: Redis, setting: str, tries: int = 1) -> None:
    """Check that the server can be used: it answers, lets us log in, and is recent enough.

    Args:
        setting: the setting that names the server; the message begins with it.
        tries: how often it is asked if it does not answer in time. One whose disk is busy may be late by seconds.

    Raises:
        BadSettings: waiting does not help: an untrusted certificate, a refused login, a database that does not exist,
            or a server that is too old.
        StoreUnavailable: waiting may help: the server does not answer, or is loading its data.
    """
    try:
        redis.ping()
        version = server_version(redis)
    except NoPermissionError:  # a cluster's access rules may keep our user from asking
        return
    except RedisError as error:
        if tries > 1 and isinstance(error, RedisTimeoutError):
            require_usable(redis, setting, tries - 1)
            return
        found = error if _is_for_good(error) else _alert(redis) or error
        kind = BadSettings if _is_for_good(found) else StoreUnavailable
        raise kind(f"{setting}: {explain(found)}.") from error
    if version is not None and is_too_old(version[1]):
        raise BadSettings(f"{setting}: {too_old(*version)}.")


def _alert(redis: Redis) -> ssl.SSLError | None:
    """What a server with TLS says of our certificate; None if it says nothing.

    With TLS 1.3 it says so after our side of the handshake. A command that was sent meanwhile may be answered by a
    reset before that is read, so this sends none.
    """
    pool = redis.connection_pool
    if not issubclass(pool.connection_class, SSLConnection):
        return None
    connection = pool.connection_class(**pool.connection_kwargs)
    try:
        with connection._connect() as sock:  # redis-py has no public name for it
            sock.settimeout(_ALERT_SECONDS)
            sock.recv(1)
    except ssl.SSLError as error:
        error.__context__ = None  # the failure that is being handled is not its cause
        return error if error.reason in _CLIENT_REFUSED else None
    except (OSError, RedisError):
        pass
    return None


def server_version(redis: Redis) -> tuple[str, str] | None:
    """Name and version of the server, such as `("valkey", "9.1.2")`; None if it does not give them."""
    info: Any = redis.info("server")
    name = str(info.get("server_name", "redis"))
    version = info.get(f"{name}_version", info.get("redis_version"))
    return None if version is None else (name, str(version))


def is_too_old(version: str) -> bool:
    """Whether a server's version is below LEAST_VERSION."""
    major = version.partition(".")[0]
    return major.isdecimal() and int(major) < LEAST_VERSION


def too_old(name: str, version: str) -> str:
    """Why a server is too old, in words without a full stop."""
    return f"the server is {name} {version}, and Quarry needs Redis or Valkey {LEAST_VERSION} or later"


def explain(error: BaseException) -> str:
    """Why a server cannot be used, in words without a full stop. They repeat nothing of the URL."""
    for cause in _causes(error):
        match cause:
            case ssl.SSLCertVerificationError():
                return f"the server's certificate is not accepted: {cause.verify_message}"
            case ssl.SSLError() if _is_of_our_files(cause):
                return "a file of its TLS options holds no certificate or key that can be used"
            case ssl.SSLError() if cause.reason in _CLIENT_REFUSED:
                return (
                    "the server does not accept this client's certificate, or asks for one (ssl_certfile, ssl_keyfile)"
                )
            case ssl.SSLError():
                return f"TLS fails ({cause.reason or 'no reason given'}); the server may not speak TLS"
            case NoSuchService():
                return "no Sentinel knows a server of the name in the URL"
            case NoLeader():
                return "no Sentinel that answers names a server that leads"
            case ResponseError() if "unknown command" in str(cause) and "sentinel" in str(cause).lower():
                return "a server in the place of a Sentinel is none"
            case socket.gaierror():
                return f"its host is not found ({cause.strerror})"
            case RedisTimeoutError() | TimeoutError():
                return "the server does not answer in time"
            case AuthenticationError():
                return "the server refuses user and password"
            case ResponseError() if "DB index" in str(cause):
                return "the server has no database of that number"
            case OSError() if cause.strerror:
                return f"the server cannot be reached ({cause.strerror})"
    if isinstance(error, RedisConnectionError):
        return "the server cannot be reached, or ends the connection"
    return f"the server refuses ({type(error).__name__})"


def _is_for_good(error: BaseException) -> bool:
    causes = _causes(error)
    return any(
        isinstance(cause, AuthenticationError | NoSuchService | ssl.SSLCertVerificationError)
        or (isinstance(cause, ResponseError) and "DB index" in str(cause))
        or (isinstance(cause, ssl.SSLError) and (_is_of_our_files(cause) or cause.reason in _CLIENT_REFUSED))
        for cause in causes
    )


def _is_of_our_files(error: ssl.SSLError) -> bool:
    # Python 3.11 gives no reason where a certificate or key is not PEM.
    return error.reason in _UNREADABLE or "PEM lib" in str(error)


def _causes(error: BaseException) -> list[BaseException]:
    """The error and its causes, the root first."""
    found: list[BaseException] = []
    step: BaseException | None = error
    while step is not None and step not in found:
        found.append(step)
        step = step.__cause__ or step.__context__
    return found[::-1]


def require_mendable(url: str, setting: str) -> None:
    """As `require_usable`, but a server that does not answer yet is no error, for processes that wait for it.

    Raises:
        BadSettings: waiting does not help.
    """
    with connect_for_requests(url) as redis, contextlib.suppress(StoreUnavailable):
        require_usable(redis, setting)
