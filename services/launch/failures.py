"""Why a node does not start, and the first reason: a port that is taken."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from services.launch.ports import PortTaken, reserved, reserved_from
from shared.errors import NodeError


class LaunchFailed(NodeError):
    """A node did not start.

    Args:
        tail: the last lines of the failed program's log.
    """

    def __init__(self, message: str, tail: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.tail = tuple(tail)


class PortInUse(LaunchFailed):
    """Another program listens on a port of the node."""


@contextmanager
def reserve(address: str, port: int, host: str, option: str, *, exact: bool = True) -> Iterator[int]:
    """A free port, reserved for the block.

    Args:
        port: 0 for any that is free.
        host: names the address for people.
        option: names the port for people.
        exact: whether it must be this one; else the next free one will do.

    Raises:
        PortInUse: the port is taken.
    """
    try:
        with (reserved if exact else reserved_from)(address, port) as found:
            yield found
    except PortTaken as error:
        remedy = f": choose another with {option}." if error.in_use else "."
        raise PortInUse(f"Port {port} on {host} {error}{remedy}") from None
