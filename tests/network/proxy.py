"""A TCP proxy that can be cut: how tests make a network partition between real processes."""

import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self


class Proxy:
    """Forwards connections to 127.0.0.1:`port`. While it is cut it closes what is open and accepts nothing for long."""

    def __init__(self, port: int = 0) -> None:
        """`port`: where to; 0: to be said later, through `target`."""
        self.target = port
        self.refused = 0  # connections that came while it was cut
        self._cut = threading.Event()
        self._stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._close_all()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def cut(self) -> None:
        self._cut.set()
        self._close_all()

    def heal(self) -> None:
        self._cut.clear()

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args)
        self._threads = [item for item in self._threads if item.is_alive()]
        self._threads.append(thread)
        thread.start()

    def _close_all(self) -> None:
        with self._lock:
            for sock in self._open:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                inbound, _ = self._listener.accept()
            except OSError:
                return
            if self._cut.is_set():
                self.refused += 1
                inbound.close()
                continue
            try:
                outbound = socket.create_connection(("127.0.0.1", self.target), 5)
            except OSError:
                inbound.close()
                continue
            self._start(self._forward, inbound, outbound)

    def _forward(self, inbound: socket.socket, outbound: socket.socket) -> None:
        with self._lock:
            self._open |= {inbound, outbound}
        if self._cut.is_set():  # it was cut while this one was being opened
            self._close_all()
        other = {inbound: outbound, outbound: inbound}
        sock: socket.socket
        with inbound, outbound, selectors.DefaultSelector() as selector:
            for sock in other:
                selector.register(sock, selectors.EVENT_READ)
            with suppress(OSError):
                while other and selector.get_map():
                    for key, _ in selector.select(1.0):
                        assert isinstance(key.fileobj, socket.socket)
                        sock = key.fileobj
                        data = sock.recv(65_536)
                        if data:
                            other[sock].sendall(data)
                        else:
                            selector.unregister(sock)
                            with suppress(OSError):
                                other[sock].shutdown(socket.SHUT_WR)
            with self._lock:
                self._open -= {inbound, outbound}
