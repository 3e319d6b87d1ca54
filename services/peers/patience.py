"""What ends an exchange that takes too long: how long it may take, and what cuts it."""

import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import urllib3.connection

from services.errors import NoSuchHost, PeerFailed
from services.peers.urls import Address

# An exchange may take PATIENCE seconds, and one second more for each LEAST_RATE bytes that have come. With a deadline
# alone, a peer that sends a byte now and then could use all of it, and there may be many such peers.
PATIENCE = 4.0
LEAST_RATE = 8192


class Patience:
    """How long to wait for one exchange: the more bytes have come, the longer, up to its deadline."""

    def __init__(self, deadline: float) -> None:
        """`deadline`: seconds from now."""
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


def resolve(host: str, port: int, patience: Patience) -> list[Address]:
    """All addresses of a name. The system's lookup has no deadline, so its thread is left behind when time is up.

    Raises:
        NoSuchHost: there is no such name.
        PeerFailed: the name server does not answer in time.
    """
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
def cut_after(connection: urllib3.connection.HTTPConnection, patience: Patience) -> Iterator[None]:
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
