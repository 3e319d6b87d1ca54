"""Receiving, and ending connections."""

import asyncio
import socket
import struct
from functools import partial

from api.door.sockets import Receiver, finish
from tests.support.threads import run_in_loop


def test_a_connection_that_the_client_has_reset_is_finished_without_an_error() -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()
        made: asyncio.Future[asyncio.Transport] = loop.create_future()

        class Taken(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                assert isinstance(transport, asyncio.Transport)
                made.set_result(transport)

        async with await loop.create_server(Taken, "127.0.0.1", 0) as server:
            client = socket.create_connection(server.sockets[0].getsockname())
            transport = await made
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            finish(transport)  # the loop has had no turn to notice the end
            finish(transport)
            transport.abort()
            finish(transport)

    run_in_loop(scene)


def test_the_other_side_reads_the_end() -> None:
    async def scene() -> None:
        reader, writer = socket.socketpair()
        reader.settimeout(10)
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=writer)
        transport.write(b"last words")
        finish(transport)
        with reader:
            assert reader.recv(100) == b"last words"
            assert reader.recv(100) == b""
        transport.abort()

    run_in_loop(scene)


def test_connections_that_share_a_buffer_receive_their_own_bytes() -> None:
    """Also what is longer than the buffer, in order; and what was handed on does not change with the next read."""
    shared = memoryview(bytearray(1000))
    sent = {number: bytes([number]) * 2500 + b"end" for number in (1, 2, 3)}

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        received: dict[int, list[bytes]] = {number: [] for number in sent}
        done: dict[int, asyncio.Future[None]] = {number: loop.create_future() for number in sent}

        class Listening(Receiver):
            def __init__(self, number: int) -> None:
                super().__init__(shared)
                self.number = number

            def data_received(self, data: bytes) -> None:
                received[self.number].append(data)
                if data.endswith(b"end"):
                    done[self.number].set_result(None)

        transports = []
        for number, text in sent.items():
            reader, writer = socket.socketpair()
            transport, _ = await loop.create_connection(partial(Listening, number), sock=reader)
            transports.append(transport)
            with writer:
                writer.sendall(text)
        await asyncio.wait_for(asyncio.gather(*done.values()), 10)
        for transport in transports:
            transport.abort()
        assert {number: b"".join(parts) for number, parts in received.items()} == sent

    run_in_loop(scene)
