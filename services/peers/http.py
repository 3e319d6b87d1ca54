"""HTTP to peers that may be slow or hostile: a deadline for the whole exchange, a limit of bytes, no redirects.

A name is resolved once, and the connection goes to an address that was checked. Proxy settings, cookies and compression
are not used.
"""

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol, TypeVar
from urllib.parse import urlsplit

import urllib3.connection
import urllib3.exceptions

from services.errors import NoSuchHost, PeerFailed
from services.peers.urls import Address, literal_address, may_connect
from shared.errors import NodeError

Answer = TypeVar("Answer")

# An exchange may take PATIENCE seconds, and one second more for each LEAST_RATE bytes that have come. With a deadline
# alone, a peer that sends a byte now and then could use all of it, and there may be many such peers.
PATIENCE = 4.0
LEAST_RATE = 8192
# Addresses of one name that are tried in turn.
_MAX_ADDRESSES = 4
# What a broken answer raises, or a socket that is cut between two steps of http.client (AttributeError).
_FAULTS = (OSError, urllib3.exceptions.HTTPError, http.client.HTTPException, ValueError, AttributeError)


@dataclass(frozen=True, slots=True)
class PeerRequest:
    """One exchange with a peer."""

    url: str  # the peer's, in normal form
    path: str  # with query
    deadline: float  # seconds for the exchange, from resolving the name to the last byte; less for a slow peer
    max_bytes: int  # of the answer's body
    body: bytes | None = None  # JSON; None: GET

    @property
    def method(self) -> Literal["GET", "POST"]:
        return "GET" if self.body is None else "POST"


class AnswerTooLong(PeerFailed):
    """A peer's answer is longer than allowed. Asking for less may help."""


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer whose body is still to come."""

    status: int
    chunks: Iterator[bytes]  # raises as `PeerHttp.exchange`, also at its end: then none of it counts


class _Patience:
    """How long to wait for one exchange: the more bytes have come, the longer, up to its deadline."""

    def __init__(self, deadline: float) -> None:
        self._began = time.monotonic()
        self._ends = self._began + deadline
        self._received = 0

    def received(self, length: int) -> None:
        self._received += length

    @property
    def ends(self) -> float:
        """Monotonic seconds."""
        return min(self._ends, self._began + PATIENCE + self._received / LEAST_RATE)

    @property
    def left(self) -> float:
        """Seconds; a little above zero when the time is over, since a timeout of zero means none."""
        return max(self.ends - time.monotonic(), 0.001)

    @property
    def over(self) -> bool:
        return time.monotonic() > self.ends


class PeerHttp(Protocol):
    """The HTTP port."""

    def stream(self, request: PeerRequest) -> AbstractContextManager[Stream]:
        """The answer, whose body is read chunk by chunk inside the `with` block. Limits and errors: as `exchange`."""

    def exchange(self, request: PeerRequest) -> tuple[int, bytes]:
        """Status and body.

        Raises:
            PeerFailed: there is no answer in time, or the address may not be connected to.
            AnswerTooLong: the body is longer than `max_bytes`.
        """

    def in_parallel(self, ask: Callable[[str], Answer], urls: Sequence[str]) -> list[Answer | NodeError]:
        """Call `ask` for all URLs at once; per URL its answer, or the NodeError that it raised."""


def outcome(ask: Callable[[str], Answer], url: str) -> Answer | NodeError:
    """What `ask` returns for `url`, or the NodeError that it raises."""
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

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Made at first use: reading the system's certificates takes longer than most exchanges."""
        return ssl.create_default_context()

    def exchange(self, request: PeerRequest) -> tuple[int, bytes]:
        with self.stream(request) as answer:
            return answer.status, b"".join(answer.chunks)

    @contextmanager
    def stream(self, request: PeerRequest) -> Iterator[Stream]:
        patience = _Patience(request.deadline)
        with ExitStack() as stack:
            with _faults_are_the_peers():
                connection = self._connect(request, patience, stack)
                response = _ask(connection, request)
            stack.callback(response.close)  # it keeps the socket open, even if the connection is closed
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise PeerFailed("The peer compressed its answer, though it was asked not to.")
            yield Stream(response.status, self._chunks(response, request.max_bytes, patience))

    def in_parallel(self, ask: Callable[[str], Answer], urls: Sequence[str]) -> list[Answer | NodeError]:
        if len(urls) < 2:
            return [outcome(ask, url) for url in urls]
        with ThreadPoolExecutor(max_workers=len(urls)) as pool:  # at most as many as a node has peers
            return list(pool.map(lambda url: outcome(ask, url), urls))

    def _connect(
        self, request: PeerRequest, patience: _Patience, stack: ExitStack
    ) -> urllib3.connection.HTTPConnection:
        """A connection to the peer. It is cut when the time is up, and closed with `stack`."""
        parts = urlsplit(request.url)
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        refused: OSError | urllib3.exceptions.HTTPError | None = None
        for address in self._addresses(host, port, patience):
            connection = self._connection(parts.scheme, host, str(address), port, patience.left)
            with ExitStack() as attempt:
                attempt.enter_context(_cut_after(connection, patience))
                try:
                    connection.connect()
                    if connection.sock is not None:  # from now on the watchdog limits the time
                        connection.sock.settimeout(request.deadline)
                except (OSError, urllib3.exceptions.HTTPError) as error:
                    refused = error  # another address of the same name may answer
                    continue
                stack.push(attempt.pop_all())
                return connection
        raise PeerFailed(f"The peer cannot be connected to ({type(refused).__name__}).")

    def _chunks(self, response: urllib3.BaseHTTPResponse, max_bytes: int, patience: _Patience) -> Iterator[bytes]:
        length = 0
        while True:
            if patience.over:
                raise PeerFailed("The peer did not finish its answer in time.")
            with _faults_are_the_peers():
                chunk = response.read1(self._CHUNK)
            if not chunk:
                break
            length += len(chunk)
            patience.received(len(chunk))
            if length > max_bytes:
                raise AnswerTooLong(f"The peer's answer is longer than {max_bytes} bytes.")
            yield chunk
        announced = response.headers.get("Content-Length")
        if patience.over or (announced is not None and announced != str(length)):
            raise PeerFailed("The peer's answer was cut off.")

    def _addresses(self, host: str, port: int, patience: _Patience) -> list[Address]:
        """The addresses of a host that may be connected to, resolved once.

        Raises:
            PeerFailed: there is none, or the name server does not answer in time.
        """
        literal = literal_address(host)
        found = [literal] if literal is not None else _resolve(host, port, patience)
        allowed = [address for address in found if may_connect(address, private=self._private)]
        if not allowed:
            raise PeerFailed("The peer is at an address that this node does not connect to (QUARRY_PRIVATE_PEERS).")
        return allowed[:_MAX_ADDRESSES]

    def _connection(
        self, scheme: str, host: str, address: str, port: int, timeout: float
    ) -> urllib3.connection.HTTPConnection:
        if scheme == "http":
            return urllib3.connection.HTTPConnection(address, port, timeout=timeout)
        return urllib3.connection.HTTPSConnection(
            address, port, timeout=timeout, ssl_context=self._tls, server_hostname=host, assert_hostname=host
        )


def _ask(connection: urllib3.connection.HTTPConnection, request: PeerRequest) -> urllib3.BaseHTTPResponse:
    """Send a request. Returns the answer, of which only the headers have been read."""
    headers = {
        "Host": urlsplit(request.url).netloc,
        "Accept-Encoding": "identity",
        "Accept": "application/json",
        "Connection": "close",
    }
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
    return connection.getresponse()


@contextmanager
def _faults_are_the_peers() -> Iterator[None]:
    """Turn whatever goes wrong with the connection into a failure of the peer."""
    try:
        yield
    except _FAULTS as error:
        raise PeerFailed(f"The peer did not answer as it should ({type(error).__name__}).") from None


def _resolve(host: str, port: int, patience: _Patience) -> list[Address]:
    """All addresses of a name. The system's lookup has no deadline, so its thread is left behind when time is up."""
    found: list[Address] = []
    unknown: list[bool] = []

    def look_up() -> None:
        try:
            for *_, name in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                found.append(ipaddress.ip_address(str(name[0]).partition("%")[0]))
        except socket.gaierror as error:
            unknown.append(error.errno == socket.EAI_NONAME)
        except (OSError, UnicodeError, ValueError):
            pass  # found stays empty

    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(patience.left)
    if thread.is_alive() or not found:
        failure = NoSuchHost if any(unknown) else PeerFailed
        raise failure("The peer's name cannot be resolved.")
    return found


@contextmanager
def _cut_after(connection: urllib3.connection.HTTPConnection, patience: _Patience) -> Iterator[None]:
    """Cut the connection when the time is up, and close it at the end.

    A read timeout begins anew with every byte, so it never ends a peer that sends a byte now and then. While TLS is
    negotiated there is no socket to cut, so the watchdog tries again until the block ends.
    """
    done = threading.Event()

    def watch() -> None:
        while not done.wait(max(patience.left, 0.05)):
            if patience.over:
                _cut(connection)

    watchdog = threading.Thread(target=watch, daemon=True)
    watchdog.start()
    try:
        yield
    finally:
        done.set()
        connection.close()


def _cut(connection: urllib3.connection.HTTPConnection) -> None:
    sock = connection.sock
    if sock is not None:
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
