"""A relay in front of a real Redis or Valkey: it speaks TLS, or makes the server look older than it is."""

import select
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509

from tests.support.certificates import write_certificate
from tests.support.listener import Listener


class Relay(Listener):
    """Forwards connections to 127.0.0.1:`port`.

    Args:
        change: applied to the server's bytes. Replies in these tests are short, so each comes in one piece.
        context: for TLS with the client; without it the relay speaks plain TCP.
    """

    def __init__(
        self, port: int, change: Callable[[bytes], bytes] = bytes, context: ssl.SSLContext | None = None
    ) -> None:
        super().__init__()
        self._target = port
        self._change = change
        self._context = context

    def accepted(self, sock: socket.socket) -> None:
        self.start(self._relay, sock)

    def _relay(self, plain: socket.socket) -> None:
        with suppress(OSError), plain, socket.create_connection(("127.0.0.1", self._target), 5) as server:
            plain.settimeout(30)
            client = plain if self._context is None else self._context.wrap_socket(plain, server_side=True)
            with client:
                self._pump(client, server)

    def _pump(self, client: socket.socket, server: socket.socket) -> None:
        """Forward both directions in one thread: no two threads may use the state of one TLS connection at once."""
        while True:
            # What TLS has decrypted already, `select` does not see.
            held = isinstance(client, ssl.SSLSocket) and client.pending()
            for source in [client] if held else select.select([client, server], [], [], 30)[0]:
                data = source.recv(65_536)
                if not data:
                    return
                if source is client:
                    server.sendall(data)
                else:
                    client.sendall(self._change(data))


def older(data: bytes) -> bytes:
    """The reply to INFO as a server of version 6 gives it."""
    return data.replace(b"valkey_version:9", b"valkey_version:6").replace(b"redis_version:7", b"redis_version:6")


def self_signed(directory: Path) -> tuple[Path, ssl.SSLContext]:
    """The file of a new certificate for 127.0.0.1, and a server's TLS context with it."""
    certificate, key = write_certificate(directory, x509.IPAddress(ip_address("127.0.0.1")))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return certificate, context
