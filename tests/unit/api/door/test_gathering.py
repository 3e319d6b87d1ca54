"""Connections of miners that are read together, without the connections: what arrives on pairs of sockets."""

import asyncio
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from api.door.gathering import Gathering, receive
from tests.support.threads import run_in_loop

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="there is no epoll")


class _Connection:
    """Notes how often it was to read."""

    def __init__(self) -> None:
        self.read_as: list[bool] = []  # `ends` of each time
        self.then: Callable[[], None] = lambda: None
        self.is_aborted = False

    def read(self, descriptor: int, *, ends: bool) -> None:
        self.read_as.append(ends)
        receive(descriptor, memoryview(bytearray(100)))
        self.then()

    def abort(self) -> None:
        self.is_aborted = True


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    """Three of a socket of ours and one of a client."""
    with ExitStack() as stack:
        found = []
        for _ in range(3):
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            found.append((stack.enter_context(ours), stack.enter_context(theirs)))
        yield found


Pairs = list[tuple[socket.socket, socket.socket]]


def gathered(pairs: Pairs, arrived: Callable[[], None] = lambda: None) -> tuple[Gathering, list[_Connection]]:
    gathering = Gathering(asyncio.get_running_loop(), arrived)
    connections = [_Connection() for _ in pairs]
    for (ours, _), connection in zip(pairs, connections, strict=True):
        assert gathering.add(connection, ours.fileno())  # type: ignore[arg-type]
    return gathering, connections


def test_who_has_sent_something_is_read_once(pairs: Pairs) -> None:
    async def scene() -> None:
        gathering, connections = gathered(pairs)
        assert not gathering.read()
        pairs[0][1].send(b"x")
        pairs[2][1].send(b"x")
        assert gathering.read() and not gathering.read()
        assert [each.read_as for each in connections] == [[False], [], [False]]

    run_in_loop(scene)


def test_an_end_is_told_with_what_came_before_it(pairs: Pairs) -> None:
    async def scene() -> None:
        gathering, connections = gathered(pairs)
        pairs[0][1].send(b"x")
        pairs[0][1].shutdown(socket.SHUT_WR)
        pairs[1][1].close()
        assert gathering.read()
        assert [each.read_as for each in connections] == [[True], [True], []]

    run_in_loop(scene)


def test_who_is_removed_is_not_read(pairs: Pairs) -> None:
    async def scene() -> None:
        gathering, connections = gathered(pairs)
        for _, theirs in pairs:
            theirs.send(b"x")
        gathering.remove(pairs[0][0].fileno())
        gathering.remove(pairs[0][0].fileno())

        def one_ends_the_other() -> None:
            for each in (1, 2):
                if not connections[each].read_as:
                    gathering.remove(pairs[each][0].fileno())

        for each in connections:
            each.then = one_ends_the_other
        assert gathering.read() and len(gathering) == 1
        assert sorted(len(each.read_as) for each in connections) == [0, 0, 1] and not connections[0].read_as

    run_in_loop(scene)


def test_what_the_system_does_not_take_is_left_to_asyncio() -> None:
    async def scene() -> None:
        gathering = Gathering(asyncio.get_running_loop(), lambda: None)
        assert not gathering.add(_Connection(), 10**6)  # type: ignore[arg-type] # no such descriptor
        assert len(gathering) == 0 and not gathering.read()

    run_in_loop(scene)


def test_a_bug_costs_only_its_connection(pairs: Pairs) -> None:
    def bug() -> None:
        raise KeyError

    async def scene() -> None:
        gathering, connections = gathered(pairs)
        connections[0].then = bug
        for _, theirs in pairs:
            theirs.send(b"x")
        assert gathering.read()
        assert [each.is_aborted for each in connections] == [True, False, False]
        assert all(each.read_as for each in connections)

    run_in_loop(scene)


def test_the_owner_is_told_once_of_what_arrives(pairs: Pairs) -> None:
    async def scene() -> None:
        told = asyncio.Event()
        times: list[int] = []

        def arrived() -> None:
            times.append(1)
            told.set()

        gathering, connections = gathered(pairs, arrived)
        pairs[0][1].send(b"x")  # before it is watched
        gathering.watch()
        gathering.watch()
        await asyncio.wait_for(told.wait(), 20)
        pairs[1][1].send(b"x")
        for _ in range(10):
            await asyncio.sleep(0)
        assert times == [1] and not connections[0].read_as  # the owner decides when it is read
        assert gathering.read() and [len(each.read_as) for each in connections] == [1, 1, 0]

    run_in_loop(scene)


def test_what_receive_says(pairs: Pairs) -> None:
    ours, theirs = pairs[0]
    buffer = memoryview(bytearray(3))
    assert receive(ours.fileno(), buffer) == -1
    theirs.send(b"abcd")
    assert receive(ours.fileno(), buffer) == 3 and bytes(buffer) == b"abc"
    assert receive(ours.fileno(), buffer) == 1
    theirs.close()
    assert receive(ours.fileno(), buffer) == 0
