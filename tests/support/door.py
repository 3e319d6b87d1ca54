"""The door for wallets (api/door) in this process, and WebSockets to it, byte by byte or whole messages."""

import asyncio
import json
import os
import socket
import struct
import threading
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

from api.door.door import Door
from api.door.http import HttpConnection
from api.door.server import end
from api.door.watch import look
from services.node import Node
from tests.support.http import Client, SocketDoor


class RunningDoor:
    """A node's door on a port of its own. Its loop runs in a thread; it looks at its connections when the test says."""

    def __init__(self, node: Node, port: int = 0) -> None:
        """`port`: 0 for any that is free."""
        self._node = node
        self._wanted = port
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="door", daemon=True)

    async def _run(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self.door = Door(self._node, self.loop)
        server = await self.loop.create_server(lambda: HttpConnection(self.door), "127.0.0.1", self._wanted)
        self.port: int = server.sockets[0].getsockname()[1]
        self._ready.set_result(None)
        await self._stopped.wait()
        server.close()
        await end(self.door)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.result(10)
        self.client = Client(SocketDoor(self.port))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    def look(self, later: float = 0.0) -> None:
        """Look at all connections, as the door does every second: `later` seconds from now."""

        async def looking() -> None:
            clock = self.door.loop.time
            self.door.loop.time = lambda: clock() + later  # type: ignore[method-assign]
            try:
                look(self.door)
            finally:
                self.door.loop.time = clock  # type: ignore[method-assign]

        asyncio.run_coroutine_threadsafe(looking(), self.loop).result(10)

    def rpc(self, method: str, *params: Any) -> Any:
        """The result, or the error object, of a call over HTTP."""
        asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = self.client.post("/", asked).ok()
        return answer.get("result", answer.get("error"))

    def socket(self) -> "Socket":
        """A new WebSocket."""
        return Socket(self.port)


class Closed(Exception):
    """The server has closed the WebSocket; `code` and `reason` are those of its last frame."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class Socket:
    """A WebSocket of a client that need not keep to the protocol. Its methods wait at most 10 s."""

    def __init__(self, port: int, *, receive_buffer: int | None = None, path: str = "/", **headers: str) -> None:
        """`receive_buffer`: bytes that the kernel may hold; a small one for a client that does not read."""
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(10)
        self.socket.connect(("127.0.0.1", port))
        self._buffer = b""
        self._asked = 0
        self.notices: list[Any] = []  # notifications that came while an answer was awaited
        given = {
            "Host": f"127.0.0.1:{port}", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        } | {name.replace("_", "-"): value for name, value in headers.items()}  # fmt: skip
        fields = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        self.socket.sendall(f"GET {path} HTTP/1.1\r\n{fields}\r\n".encode())
        while b"\r\n\r\n" not in self._buffer:
            self._fill()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        self.status = int(head.split()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.socket.close()

    # --- frames ---

    def frame(self, opcode: int, data: bytes, *, fin: bool = True, length: int | None = None) -> None:
        """Send a frame. `length`: what its head says, if that is not the truth."""
        self.socket.sendall(frame(opcode, data, fin=fin, length=length))

    def receive(self) -> tuple[int, bytes]:
        """Opcode and data of the next frame. Raises: Closed."""
        first, second = self._take(2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", self._take(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._take(8))
        data = self._take(length)
        if first & 0xF == 8:
            raise Closed(struct.unpack("!H", data[:2])[0], data[2:].decode())
        return first & 0xF, data

    def closing(self) -> Closed:
        """How the server closes; what comes before that is passed over."""
        try:
            while True:
                self.receive()
        except Closed as closed:
            return closed

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._fill()
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _fill(self) -> None:
        part = self.socket.recv(65_536)
        if not part:
            raise Closed(0, "the connection ended without a frame that says why")
        self._buffer += part

    # --- JSON-RPC ---

    def send(self, value: Any) -> None:
        self.frame(1, value if isinstance(value, bytes) else json.dumps(value).encode())

    def message(self) -> Any:
        """The next JSON message; pings are passed over."""
        while True:
            opcode, data = self.receive()
            if opcode == 1:
                return json.loads(data)

    def ask(self, method: str, *params: Any) -> Any:
        """The whole answer to a call. Notifications that come before it are kept in `notices`."""
        self._asked += 1
        self.send({"jsonrpc": "2.0", "id": self._asked, "method": method, "params": params})
        while True:
            message = self.message()
            if isinstance(message, dict) and message.get("id") == self._asked:
                return message
            self.notices.append(message)

    def subscribe(self, *params: Any) -> str:
        found = self.ask("eth_subscribe", *params)["result"]
        assert isinstance(found, str)
        return found

    def notice(self) -> tuple[str, Any]:
        """Subscription and result of the next notification."""
        message = self.notices.pop(0) if self.notices else self.message()
        assert (message["jsonrpc"], message["method"], message.keys()) == (
            "2.0", "eth_subscription", {"jsonrpc", "method", "params"},
        )  # fmt: skip
        return message["params"]["subscription"], message["params"]["result"]


def frame(opcode: int, data: bytes, *, fin: bool = True, length: int | None = None, masked: bool = True) -> bytes:
    """A client's frame."""
    size = len(data) if length is None else length
    head = bytes([opcode | (0x80 if fin else 0)])
    bit = 0x80 if masked else 0
    if size < 126:
        head += bytes([bit | size])
    elif size < 65_536:
        head += struct.pack("!BH", bit | 126, size)
    else:
        head += struct.pack("!BQ", bit | 127, size)
    if not masked:
        return head + data
    mask = os.urandom(4)
    key = (mask * (len(data) // 4 + 1))[: len(data)]
    return head + mask + (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(len(data), "big")
