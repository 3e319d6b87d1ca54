"""Requests of a stranger to the proxy of the profile `edge`, over TLS, trusting the test's authority and no other."""

import contextlib
import http.client
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cryptography import x509

from tests.image.engine import Failed
from tests.support.certificates import Authority
from tests.support.door import frame

NAME = "node.example"
_USER = 10001
_SECONDS = 30.0
# As deploy/nginx.conf has them: connections of one client, and its requests in a second.
_MOST_CONNECTIONS, _RATE = 32, 50
_MOST_REQUESTS, _AT_ONCE = 600, 8


def make_certificates(directory: Path) -> dict[str, str]:
    """Write what EDGE_CERTIFICATES needs, readable by the container's user. Returns the variables of the profile."""
    authority = Authority(directory / "authority")
    served = directory / "served"
    served.mkdir(mode=0o700)
    for path, name in zip(authority.issue("edge", x509.DNSName(NAME)), ("fullchain.pem", "privkey.pem"), strict=True):
        (served / name).write_bytes(path.read_bytes())
        (served / name).chmod(0o400)
        os.chown(served / name, _USER, _USER)
    os.chown(served, _USER, _USER)
    return {
        "EDGE_NAME": NAME, "QUARRY_ALLOWED_HOSTS": NAME, "EDGE_CERTIFICATES": str(served),
        "EDGE_ADDRESS": "127.0.0.1",
    }  # fmt: skip


class Stranger:
    """A client of the proxy.

    Args:
        directory: of `make_certificates`.
        plain, tls: the proxy's ports on this machine.
    """

    def __init__(self, directory: Path, plain: int, tls: int) -> None:
        self._plain = plain
        self._tls = tls
        self._trusting = ssl.create_default_context(cafile=str(directory / "authority" / "authority.pem"))

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body of an answer. Raises: OSError."""
        with contextlib.closing(self._connection()) as connection:
            connection.request(method, path, body or None, {"Host": NAME, "Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()

    def require_all(self) -> str:
        """Everything that the profile promises. Returns what was seen.

        Raises:
            Failed: the proxy does something else.
        """
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self._plain, timeout=_SECONDS)) as connection:
            connection.request("GET", "/status", headers={"Host": NAME})
            answer = connection.getresponse()
            _require(
                (answer.status, answer.headers["Location"]) == (301, f"https://{NAME}/status"),
                f"a plain request is answered with {answer.status} {answer.headers['Location']}",
            )
        status, body = self.ask("GET", "/status")
        _require(status == 200 and json.loads(body)["node"] == "node1", f"/status: {status} {body[:200]!r}")
        # The proxy says that the client is not of this machine, so an operator's act needs the token.
        status, body = self.ask("POST", "/mine")
        _require(status == 401 and b"admin_token_required" in body, f"/mine: {status} {body[:200]!r}")
        status, body = self.ask("POST", "/transactions/new", b" " * (1 << 20) + b"{}")
        _require(status == 413, f"a body above 1 MiB: {status}")
        status, body = self.ask("POST", "/leases", b'{"name": "anna", "rate": 1}')
        _require(status == 401 and b"unknown_voucher" in body, f"/leases: {status} {body[:200]!r}")
        chain = self._over_websocket('{"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}')
        _require(b'"result"' in chain, f"eth_chainId over WebSocket: {chain!r}")
        self._require_few_connections()
        return f"TLS, redirect, 401, 413, leases, WebSocket, {_MOST_CONNECTIONS} connections; {self._rate()}"

    def wait(self, seconds: float, otherwise: str) -> float:
        """Wait until the node answers through the proxy. Returns the seconds that it took. Raises: Failed."""
        began = time.monotonic()
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.ask("GET", "/status")[0] == 200:
                    return time.monotonic() - began
            if time.monotonic() - began > seconds:
                raise Failed(otherwise)
            time.sleep(0.3)

    def _connection(self) -> http.client.HTTPSConnection:
        """A connection by which the certificate is judged for NAME, wherever the name leads."""
        connection = http.client.HTTPSConnection(NAME, timeout=_SECONDS, context=self._trusting)
        connection.sock = self._socket()
        return connection

    def _socket(self) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self._tls), timeout=_SECONDS)
        try:
            return self._trusting.wrap_socket(plain, server_hostname=NAME)
        except BaseException:
            plain.close()
            raise

    def _over_websocket(self, question: str) -> bytes:
        with self._socket() as client:
            client.sendall(
                f"GET /ws HTTP/1.1\r\nHost: {NAME}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
            )
            head = b"".join(_lines(client))
            _require(head.startswith(b"HTTP/1.1 101 "), f"WebSocket: {head[:200]!r}")
            client.sendall(frame(1, question.encode()))
            return client.recv(1000)

    def _require_few_connections(self) -> None:
        """Of so many connections whose requests have no end yet, those above the limit are refused at once."""
        head = f"POST /transactions/new HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 100\r\n\r\n{{"
        with contextlib.ExitStack() as stack:
            for _ in range(_MOST_CONNECTIONS):
                stack.enter_context(self._socket()).sendall(head.encode())
            last = stack.enter_context(self._socket())
            last.sendall(head.encode())
            said = last.recv(1000)
        _require(said.startswith(b"HTTP/1.1 429 "), f"connection {_MOST_CONNECTIONS + 1}: {said[:100]!r}")

    def _rate(self) -> str:
        """What came of asking as fast as this machine can: it may be too slow for the limit of 50 a second."""
        began, refused = time.monotonic(), threading.Event()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            asked = sum(pool.map(lambda _: self._ask_until(refused), range(_AT_ONCE)))
        rate = asked / (time.monotonic() - began)
        _require(refused.is_set() or rate < 2 * _RATE, f"{asked} requests at {rate:.0f} a second were all let through")
        return f"429 after {asked} requests" if refused.is_set() else f"no 429 at {rate:.0f} requests a second"

    def _ask_until(self, refused: threading.Event) -> int:
        """Ask on one connection until any was refused. Returns how many were answered."""
        with contextlib.closing(self._connection()) as connection:
            for number in range(_MOST_REQUESTS // _AT_ONCE):
                if refused.is_set():
                    return number
                connection.request("GET", "/healthz", headers={"Host": NAME})
                answer = connection.getresponse()
                answer.read()
                if answer.status == 429:
                    refused.set()
            return _MOST_REQUESTS // _AT_ONCE


def _lines(client: ssl.SSLSocket) -> Iterator[bytes]:
    """The head of an answer, byte by byte, since what follows is not HTTP."""
    seen = b""
    while not seen.endswith(b"\r\n\r\n"):
        part = client.recv(1)
        if not part:
            return
        seen += part
        yield part


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise Failed(f"the proxy: {otherwise}")
