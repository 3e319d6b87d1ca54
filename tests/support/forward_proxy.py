"""A small forward proxy as operators run one: the absolute form for http, CONNECT for the rest, perhaps a login."""

import selectors
import socket
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.support.listener import Listener


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    method: str
    target: str
    headers: dict[str, str]  # names in lower case


class ForwardProxy(Listener):
    """Forwards each connection's one request to where it asks, or to where `routes` says instead.

    It answers 400 to what is no request to a proxy, 407 without the right login, and 502 if nobody listens there.

    Args:
        login: the value that `Proxy-Authorization` must have; None: no login.
        refusal: the status for another login.
        routes: in place of "HOST:PORT", a port on this machine: what a name server and a network would do.
    """

    def __init__(
        self, login: str | None = None, routes: dict[str, int] | None = None, refusal: str = "407 Login Required"
    ) -> None:
        super().__init__()
        self._refusal = refusal
        self._login = login
        self._routes = routes or {}
        self.requests: list[Asked] = []

    @property
    def asked(self) -> list[Asked]:
        """The requests for peers, without those to the proxy itself."""
        return [request for request in self.requests if request.method != "OPTIONS"]

    def accepted(self, sock: socket.socket) -> None:
        self.start(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        with sock, suppress(OSError):
            sock.settimeout(20)
            data = b""
            while b"\r\n\r\n" not in data:
                piece = sock.recv(65_536)
                if not piece:
                    return
                data += piece
            head, _, rest = data.partition(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            method, target, _ = first.split(" ", 2)
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            self.requests.append(Asked(method, target, headers))
            if self._login is not None and headers.get("proxy-authorization") != self._login:
                return _refuse(sock, self._refusal)
            parts = urlsplit(target)
            place = target if method == "CONNECT" else parts.netloc
            if not place or target == "*":
                return _refuse(sock, "400 Bad Request")
            try:
                port = self._routes.get(place) or int(place.rpartition(":")[2])
                outbound = socket.create_connection(("127.0.0.1", port), 5)
            except (OSError, ValueError):
                return _refuse(sock, "502 Bad Gateway")
            with outbound:
                if method == "CONNECT":
                    sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    outbound.sendall(rest)
                else:
                    path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
                    kept = [line for line in lines if not line.lower().startswith("proxy-")]
                    request = "\r\n".join([f"{method} {path} HTTP/1.1", *kept, "", ""]).encode("latin-1")
                    outbound.sendall(request + rest)
                _copy_both_ways(sock, outbound, self)


def _refuse(sock: socket.socket, status: str) -> None:
    sock.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())


def _copy_both_ways(inbound: socket.socket, outbound: socket.socket, proxy: Listener) -> None:
    other = {inbound: outbound, outbound: inbound}
    with selectors.DefaultSelector() as selector:
        for sock in other:
            selector.register(sock, selectors.EVENT_READ)
        while selector.get_map() and not proxy.stopping.is_set():
            for key, _ in selector.select(0.2):
                source = key.fileobj
                assert isinstance(source, socket.socket)
                data = source.recv(65_536)
                if data:
                    other[source].sendall(data)
                    continue
                selector.unregister(source)
                with suppress(OSError):
                    other[source].shutdown(socket.SHUT_WR)
                if source is outbound:
                    return
