"""HTTP to peers that may be slow or hostile: a deadline for the whole exchange, a limit of bytes, no redirects.

A name is resolved once, and the connection goes to an address that was checked; a proxy of the settings
(`services/peers/proxy.py`) is asked for that address. The environment's proxies, cookies and compression are not used.
"""

import http.client
import ssl
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol, TypeVar
from urllib.parse import urlsplit

import urllib3.connection
import urllib3.exceptions

from services.errors import PeerFailed
from services.peers.patience import Patience, cut_after, resolve
from services.peers.proxy import PeerProxy, Unreachable
from services.peers.urls import is_local_name, literal_address, may_connect
from services.system import tracing
from shared.errors import NodeError

Answer = TypeVar("Answer")

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
        proxy: through which all of them are asked; None: they are asked directly.
    """

    _CHUNK = 65_536

    def __init__(self, *, private: bool, proxy: PeerProxy | None = None) -> None:
        self._private = private
        self._proxy = proxy

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Made at first use: reading the system's certificates takes longer than most exchanges."""
        return ssl.create_default_context()

    def exchange(self, request: PeerRequest) -> tuple[int, bytes]:
        with self.stream(request) as answer:
            return answer.status, b"".join(answer.chunks)

    @contextmanager
    def stream(self, request: PeerRequest) -> Iterator[Stream]:
        patience = Patience(request.deadline)
        with ExitStack() as stack:
            stack.enter_context(tracing.step(f"ask peer {request.method}", path=request.path.partition("?")[0]))
            response = self._answer(request, patience, stack)
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise PeerFailed("The peer compressed its answer, though it was asked not to.")
            yield Stream(response.status, self._chunks(response, request.max_bytes, patience))

    def in_parallel(self, ask: Callable[[str], Answer], urls: Sequence[str]) -> list[Answer | NodeError]:
        if len(urls) < 2:
            return [outcome(ask, url) for url in urls]
        with ThreadPoolExecutor(max_workers=len(urls)) as pool:  # at most as many as a node has peers
            return list(pool.map(tracing.carried(lambda url: outcome(ask, url)), urls))

    def _answer(self, request: PeerRequest, patience: Patience, stack: ExitStack) -> urllib3.BaseHTTPResponse:
        """The peer's answer, of which only the headers have been read. Its connection is closed with `stack`."""
        parts = urlsplit(request.url)
        secure = parts.scheme == "https"
        host = parts.hostname or ""
        port = parts.port or (443 if secure else 80)
        refused: Unreachable | None = None
        for target in self._targets(host, port, patience):
            with self._faults(), ExitStack() as attempt:
                try:
                    connection = attempt.enter_context(self._connected(host, target, port, secure, patience))
                    if connection.sock is not None:  # from now on the watchdog limits the time
                        connection.sock.settimeout(request.deadline)
                    forwarding = None if secure else self._proxy
                    response = _ask(connection, request, forwarding, target, port)
                    attempt.callback(response.close)  # it keeps the socket open, even if the connection is closed
                    if forwarding is not None:
                        forwarding.check_status(response.status)
                except Unreachable as error:
                    refused = error  # another address of the same name may answer
                    continue
                stack.push(attempt.pop_all())
                return response
        raise refused or PeerFailed("The peer has no address.")

    @contextmanager
    def _connected(
        self, host: str, target: str, port: int, secure: bool, patience: Patience
    ) -> Iterator[urllib3.connection.HTTPConnection]:
        """A connection to the peer at `target`, or to the proxy that is to ask it. It is cut when the time is up."""
        if self._proxy is not None:
            with self._proxy.connected(host, target, port, self._tls if secure else None, patience) as connection:
                yield connection
            return
        connection = self._connection(host, target, port, secure, patience.left)
        with cut_after(connection, patience):
            try:
                connection.connect()
            except (OSError, urllib3.exceptions.HTTPError) as error:
                raise Unreachable(f"The peer cannot be connected to ({type(error).__name__}).") from None
            yield connection

    def _chunks(self, response: urllib3.BaseHTTPResponse, max_bytes: int, patience: Patience) -> Iterator[bytes]:
        length = 0
        while True:
            with self._faults():
                if patience.over:
                    raise PeerFailed("The peer did not finish its answer in time.")
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
            with self._faults():
                raise PeerFailed("The peer's answer was cut off.")

    def _targets(self, host: str, port: int, patience: Patience) -> list[str]:
        """The addresses of a host that may be connected to, resolved once; the name itself, if the proxy resolves it.

        Raises:
            PeerFailed: there is none, or the name server does not answer in time.
        """
        literal = literal_address(host)
        if literal is None and self._proxy is not None and self._proxy.resolves:
            found, allowed = [], [host] if self._private or not is_local_name(host) else []
        else:
            found = [literal] if literal is not None else resolve(host, port, patience)
            allowed = [str(address) for address in found if may_connect(address, private=self._private)]
        if not allowed:
            raise PeerFailed("The peer is at an address that this node does not connect to (QUARRY_PRIVATE_PEERS).")
        return allowed[:_MAX_ADDRESSES]

    def _connection(
        self, host: str, address: str, port: int, secure: bool, timeout: float
    ) -> urllib3.connection.HTTPConnection:
        if not secure:
            return urllib3.connection.HTTPConnection(address, port, timeout=timeout)
        return urllib3.connection.HTTPSConnection(
            address, port, timeout=timeout, ssl_context=self._tls, server_hostname=host, assert_hostname=host
        )

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Turn whatever goes wrong with the connection into a failure of the peer, or of the proxy before it."""
        try:
            yield
        except PeerFailed as error:
            failure = error
        except _FAULTS as error:
            failure = PeerFailed(f"The peer did not answer as it should ({type(error).__name__}).")
        else:
            return
        raise failure if self._proxy is None else self._proxy.judged(failure)


def _ask(
    connection: urllib3.connection.HTTPConnection,
    request: PeerRequest,
    forwarding: PeerProxy | None,
    target: str,
    port: int,
) -> urllib3.BaseHTTPResponse:
    """Send a request, in the absolute form to a proxy that forwards it. Returns the answer, of which only the headers
    have been read.
    """
    headers = {
        "Host": urlsplit(request.url).netloc,
        "Accept-Encoding": "identity",
        "Accept": "application/json",
        "Connection": "close",
    }
    if traceparent := tracing.current():
        headers["traceparent"] = traceparent
    if request.body is not None:
        headers["Content-Type"] = "application/json"
    path = request.path
    if forwarding is not None:
        path = forwarding.absolute(target, port, path)
        headers |= forwarding.headers
    connection.request(
        request.method,
        path,
        body=request.body,
        headers=headers,
        preload_content=False,
        decode_content=False,
    )
    return connection.getresponse()
