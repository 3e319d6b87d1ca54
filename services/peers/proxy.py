"""The forward proxy of an operator behind a firewall: how a peer is asked through it, and whose fault a failure is.

The proxy is asked for a peer's address in the absolute form (RFC 9112, 3.2.2) for http, by CONNECT for https. Its own
address is the operator's choice and is not judged.
"""

import re
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.client import HTTPException

import urllib3.connection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from services.errors import PeerFailed, ProxyFailed
from services.peers.patience import Patience, cut_after, resolve
from services.peers.urls import Address, literal_address
from services.settings.proxy_url import ProxyUrl, parse
from services.settings.table import Settings

# Seconds that the proxy may take to answer a question of its own, and for which its answer holds.
_PULSE_PATIENCE = 1.0
_PULSE_HOLDS = 1.0
# How http.client says that CONNECT was refused. The rest of its message is the proxy's own text.
_REFUSED_TUNNEL = re.compile(r"Tunnel connection failed: ([0-9]{3})\b")
# Of proxies that want another login: as RFC 9110 has it, and as tinyproxy refuses a wrong password.
_LOGIN_REQUIRED = frozenset({407, 401})


class Unreachable(PeerFailed):
    """One address of a peer cannot be connected to. Another one of the same name may answer."""


class PeerProxy:
    """One forward proxy.

    Args:
        resolves: whether it resolves the names of peers, in place of this node.
    """

    def __init__(self, url: ProxyUrl, *, resolves: bool = False) -> None:
        self.resolves = resolves
        self._url = url
        self._shown = url.public
        login = url.authorization
        self._login = {} if login is None else {"Proxy-Authorization": login}
        self._lock = threading.Lock()
        self._pulse_at: float | None = None
        self._pulse: int | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        """What requests in the absolute form have besides the usual. An old answer from a cache would be no news."""
        return {"Cache-Control": "no-cache", **self._login}

    @contextmanager
    def connected(
        self, host: str, target: str, port: int, tls: ssl.SSLContext | None, patience: Patience
    ) -> Iterator[urllib3.connection.HTTPConnection]:
        """A connection to the proxy, or with `tls` one through it to the peer; it is cut when the time is up.

        Args:
            host: the peer's, in its URL: what its certificate must be for.
            target: the address that the proxy is to connect to, or the name if it resolves names.

        Raises:
            ProxyFailed: the proxy cannot be connected to, or wants another login.
            PeerFailed: the time was over before it could be connected to.
            Unreachable: the proxy says that it does not connect to the target.
            OSError, HTTPError, HTTPException: the connection broke, or the peer's certificate is not trusted.
        """
        with ExitStack() as stack:
            yield self._connect(host, target, port, tls, patience, stack)

    def _connect(
        self, host: str, target: str, port: int, tls: ssl.SSLContext | None, patience: Patience, stack: ExitStack
    ) -> urllib3.connection.HTTPConnection:
        refused, late = "NoAddress", False
        for place in self._places(patience):
            connection = self._connection(str(place), host, target, port, tls, patience.left)
            with ExitStack() as attempt:
                attempt.enter_context(cut_after(connection, patience))
                try:
                    connection.connect()
                except (NewConnectionError, ConnectTimeoutError) as error:
                    refused, late = type(error).__name__, not isinstance(error, NewConnectionError)  # its subclass
                    continue
                except OSError as error:
                    found = _REFUSED_TUNNEL.match(str(error))
                    if found is None:
                        raise
                    if int(found[1]) in _LOGIN_REQUIRED:
                        raise self._asks_for_login(int(found[1])) from None
                    raise Unreachable(
                        f"The proxy {self._shown} does not connect to the peer (status {found[1]})."
                    ) from None
                stack.push(attempt.pop_all())
                return connection
        if late:  # perhaps only because a peer's slow name server took the time, so this is for `judged`
            raise PeerFailed("The peer could not be asked in time.")
        raise ProxyFailed(f"The proxy {self._shown} cannot be connected to ({refused}).")

    def _connection(
        self, place: str, host: str, target: str, port: int, tls: ssl.SSLContext | None, timeout: float
    ) -> urllib3.connection.HTTPConnection:
        if tls is None:
            return urllib3.connection.HTTPConnection(place, self._url.port, timeout=timeout)
        connection = urllib3.connection.HTTPSConnection(
            place, self._url.port, timeout=timeout, ssl_context=tls, server_hostname=host, assert_hostname=host
        )
        connection.set_tunnel(target, port, headers={"Host": _authority(target, port), **self._login}, scheme="http")
        return connection

    def absolute(self, target: str, port: int, path: str) -> str:
        """What an http peer is asked for: the absolute form."""
        return f"http://{_authority(target, port)}{path}"

    def check_status(self, status: int) -> None:
        """Name the proxy where it, and not the peer, may have answered a request in the absolute form.

        Raises:
            ProxyFailed: it wants another login.
            Unreachable: the status says that something failed. 404 and 405 pass: they say what kind of node a peer is.
        """
        if status in _LOGIN_REQUIRED and self._pulse_now() in _LOGIN_REQUIRED:  # a peer could send 407 too
            raise self._asks_for_login(status)
        if status >= 400 and status not in (404, 405):
            raise Unreachable(f"The peer, or the proxy {self._shown} before it, answered with status {status}.")

    def judged(self, failure: PeerFailed) -> PeerFailed:
        """The failure of an exchange, as the peer's or as the proxy's.

        From outside, a proxy that hangs looks like a peer that hangs. So the proxy is asked something that it answers
        itself. If a peer could pass for a broken proxy, its lies would have no consequences.
        """
        if isinstance(failure, ProxyFailed | Unreachable):
            return failure
        if self._pulse_now() is None:
            return ProxyFailed(f"The proxy {self._shown} does not answer as an HTTP proxy does.")
        return type(failure)(f"{str(failure).removesuffix('.')}; it was asked through the proxy {self._shown}.")

    def _asks_for_login(self, status: int) -> ProxyFailed:
        if self._login:
            return ProxyFailed(f"The proxy {self._shown} refuses the login in QUARRY_PEER_PROXY (status {status}).")
        return ProxyFailed(
            f"The proxy {self._shown} asks for a login (status {status}), and QUARRY_PEER_PROXY has none."
        )

    def _pulse_now(self) -> int | None:
        """The status that the proxy answers by itself, a moment ago at most; None: it answers no HTTP in time."""
        with self._lock:
            if self._pulse_at is None or time.monotonic() - self._pulse_at > _PULSE_HOLDS:
                self._pulse = self._ask()
                self._pulse_at = time.monotonic()
            return self._pulse

    def _ask(self) -> int | None:
        """Any status will do: proxies answer this question in many ways, but none passes it on."""
        patience = Patience(_PULSE_PATIENCE)
        headers = {"Host": self._url.authority, "Max-Forwards": "0", "Connection": "close", **self._login}
        try:
            with self.connected("", "", 0, None, patience) as connection:
                connection.request("OPTIONS", "*", headers=headers, preload_content=False, decode_content=False)
                status = connection.getresponse().status
                return None if patience.over else status  # headers that were cut count as complete
        except (PeerFailed, OSError, HTTPError, HTTPException, ValueError, AttributeError):
            return None

    def _places(self, patience: Patience) -> list[Address]:
        """The proxy's own addresses."""
        literal = literal_address(self._url.host)
        if literal is not None:
            return [literal]
        try:
            return resolve(self._url.host, self._url.port, patience)
        except PeerFailed:
            raise ProxyFailed(f"The name of the proxy {self._shown} cannot be resolved.") from None


def _authority(target: str, port: int) -> str:
    return f"[{target}]:{port}" if ":" in target else f"{target}:{port}"


def proxy_of(settings: Settings) -> PeerProxy | None:
    """The proxy that the settings name; None: there is none."""
    return PeerProxy(parse(settings.peer_proxy), resolves=settings.peer_proxy_resolves) if settings.peer_proxy else None
