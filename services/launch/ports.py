"""Reserving a port for a server that binds it later, so that a port in use is reported in a sentence."""

import errno
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_LOOK = 0.1  # seconds
_TRIED = 256  # ports, from the wanted one on


class PortTaken(Exception):
    """The port cannot be bound. The message is the rest of a sentence that begins with the port's name.

    Args:
        in_use: whether another program listens there; else the system refuses for another reason.
    """

    def __init__(self, message: str, *, in_use: bool) -> None:
        super().__init__(message)
        self.in_use = in_use


@contextmanager
def reserved(address: str, wanted: int, patience: float = 0.0) -> Iterator[int]:
    """A free port, reserved for the block. Processes that ask at the same time get different ones.

    It is bound without listening: on Linux the server can still bind and listen, as both set SO_REUSEADDR, and the
    kernel gives the port to no other program. Elsewhere it cannot, so there the port is free until the server takes it.

    Args:
        address: an IP address.
        wanted: 0 for any that is free.
        patience: seconds to wait for a server that shares its port (SO_REUSEPORT), as ours do: one may be ending.

    Raises:
        PortTaken: another program listens there, or the system refuses.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            sock = _bound(address, wanted)
            break
        except OSError as error:
            in_use = error.errno == errno.EADDRINUSE
            if in_use and time.monotonic() < deadline and _is_shared(address, wanted):
                time.sleep(_LOOK)
                continue
            raise PortTaken("is in use" if in_use else f"cannot be used: {error.strerror}", in_use=in_use) from None
    with sock:
        port: int = sock.getsockname()[1]
        if sys.platform != "linux":
            sock.close()
        yield port


@contextmanager
def reserved_from(address: str, first: int) -> Iterator[int]:
    """A free port, reserved for the block: `first`, or the next free one.

    Raises:
        PortTaken: none of the next _TRIED ports is free.
    """
    taken: PortTaken | None = None
    for wanted in range(first, min(first + _TRIED, 65_536)):
        with ExitStack() as stack:
            try:
                stack.enter_context(_claimed(address, wanted))
                port = stack.enter_context(reserved(address, wanted))
            except PortTaken as error:
                taken = error
                if not error.in_use:
                    break
                continue
            yield port
            return
    raise taken or PortTaken("is in use", in_use=True)


@contextmanager
def _claimed(address: str, port: int) -> Iterator[None]:
    """Keep other nodes that start on this machine away from a port.

    Linux lets several sockets bind a port with SO_REUSEADDR while none of them listens. So that two nodes do not
    reserve the same one, each first binds a Unix socket whose name has address and port. Such a name is in no file
    system, and is free again when its process ends.

    Raises:
        PortTaken: another node has it.
    """
    with socket.socket(socket.AF_UNIX) as sock:
        if sys.platform == "linux":
            try:
                sock.bind(f"\0quarry-port-{address}-{port}")
            except OSError as error:
                raise PortTaken("is in use", in_use=error.errno == errno.EADDRINUSE) from None
        yield


def _bound(address: str, port: int, *, shared: bool = False) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((address, port))
    except BaseException:
        sock.close()
        raise
    return sock


def _is_shared(address: str, port: int) -> bool:
    """Whether a server of this user listens there that lets others share its port."""
    if not hasattr(socket, "SO_REUSEPORT"):
        return False
    try:
        _bound(address, port, shared=True).close()
    except OSError:
        return False
    return True
