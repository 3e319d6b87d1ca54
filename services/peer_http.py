"""HTTP to peers, who may be slow, huge or hostile: a deadline for the whole exchange, a cap on bytes, no redirects.

The name is resolved once and the connection goes to an address that was checked; neither proxy settings nor cookies
nor compression are used.
"""

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar
from urllib.parse import urlsplit

import urllib3.connection
import urllib3.exceptions

from services.errors import PeerFailed
from services.peer_urls import may_connect
from shared.errors import NodeError

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class PeerRequest:
    """One exchange with a peer."""

    url: str  # the peer's, in normal form
    path: str  # with query
    deadline: float  # seconds for all of it, from resolving to the last byte
    max_bytes: int  # of the answer's body
    body: bytes | None = None  # JSON; None: GET

    @property
    def method(self) -> Literal["GET", "POST"]:
        return "GET" if self.body is None else "POST"


class PeerHttp(Protocol):
    """The HTTP port."""

    def exchange(self, request: PeerRequest) -> tuple[int, bytes]:
        """Status and body.

        Raises:
            PeerFailed: no answer in time, too long an answer, or an address that may not be connected to.
        """

    def in_parallel(self, ask: Callable[[str], Answer], urls: Sequence[str]) -> list[Answer | NodeError]:
        """Call `ask` for every URL at once; per URL its answer, or the NodeError that it raised."""


def outcome(ask: Callable[[str], Answer], url: str) -> Answer | NodeError:
    """The answer, or the refusal."""
    try:
        return ask(url)
    except NodeError as error:
        return error


class SystemPeerHttp:
    """The HTTP port over sockets.

    Args:
        private: whether peers may be on this machine or in a private network.
    """

    _CHUNK = 65_536

    def __init__(self, *, private: bool) -> None:
        self._private = private
        self._tls = ssl.create_default_context()

    def exchange(self, request: PeerRequest) -> tuple[int, bytes]:
        ends = time.monotonic() + request.deadline
        parts = urlsplit(request.url)
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        address = self._resolve(host, port)
        connection = self._connection(parts.scheme, host, address, port, request.deadline)
        # Read timeouts begin anew with every byte, so a dripping peer would never meet one. The watchdog cuts the
        # connection when the time is up, whatever it is doing.
        watchdog = threading.Timer(request.deadline, _cut, [connection])
        watchdog.daemon = True
        watchdog.start()
        try:
            return self._exchange(connection, request, parts.netloc, ends)
        except PeerFailed:
            raise
        except (OSError, urllib3.exceptions.HTTPError, ValueError, AttributeError) as error:
            # AttributeError: http.client finds its socket gone when the watchdog cuts it between two steps.
            raise PeerFailed(f"The peer did not answer as it should ({type(error).__name__}).") from None
        finally:
            watchdog.cancel()
            connection.close()

    def in_parallel(self, ask: Callable[[str], Answer], urls: Sequence[str]) -> list[Answer | NodeError]:
        if len(urls) < 2:
            return [outcome(ask, url) for url in urls]
        with ThreadPoolExecutor(max_workers=len(urls)) as pool:  # as many as a node may have peers
            return list(pool.map(lambda url: outcome(ask, url), urls))

    def _exchange(
        self, connection: urllib3.connection.HTTPConnection, request: PeerRequest, host: str, ends: float
    ) -> tuple[int, bytes]:
        headers = {"Host": host, "Accept-Encoding": "identity", "Accept": "application/json", "Connection": "close"}
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        connection.request(
            request.method,
            request.path,
            body=request.body,
            headers=headers,
            preload_content=False,
            decode_content=False,
        )
        response = connection.getresponse()
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise PeerFailed("The peer compressed its answer, though it was asked not to.")
        body = bytearray()
        while True:
            if time.monotonic() > ends:
                raise PeerFailed("The peer did not finish its answer in time.")
            chunk = response.read1(self._CHUNK)
            if not chunk:
                return response.status, bytes(body)
            body += chunk
            if len(body) > request.max_bytes:
                raise PeerFailed(f"The peer's answer is longer than {request.max_bytes} bytes.")

    def _resolve(self, host: str, port: int) -> str:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise PeerFailed("The peer's name cannot be resolved.") from None
        for *_, name in found:
            address = ipaddress.ip_address(str(name[0]).partition("%")[0])
            if may_connect(address, private=self._private):
                return str(address)
        raise PeerFailed("The peer is at an address that this node does not connect to (QUARRY_PRIVATE_PEERS).")

    def _connection(
        self, scheme: str, host: str, address: str, port: int, timeout: float
    ) -> urllib3.connection.HTTPConnection:
        if scheme == "http":
            return urllib3.connection.HTTPConnection(address, port, timeout=timeout)
        return urllib3.connection.HTTPSConnection(
            address, port, timeout=timeout, ssl_context=self._tls, server_hostname=host, assert_hostname=host
        )


def _cut(connection: urllib3.connection.HTTPConnection) -> None:
    sock = connection.sock
    if sock is not None:
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
