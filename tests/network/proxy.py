"""A TCP proxy that can be cut: how tests make a network partition between real processes."""

import selectors
import socket
import threading
from contextlib import suppress

from tests.support.listener import Listener


class Proxy(Listener):
    """Forwards connections to 127.0.0.1:`port`. While it is cut, no connection stays open for long."""

    def __init__(self, port: int = 0) -> None:
        """`port`: where to forward; 0 if `target` is set later."""
        super().__init__()
        self.target = port
        self.refused = 0  # connections that came while it was cut
        self._cut = threading.Event()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def cut(self) -> None:
        self._cut.set()
        self.close_all()

    def heal(self) -> None:
        self._cut.clear()

    def close_all(self) -> None:
        with self._lock:
            for sock in self._open:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def accepted(self, sock: socket.socket) -> None:
        if self._cut.is_set():
            self.refused += 1
            sock.close()
            return
        try:
            outbound = socket.create_connection(("127.0.0.1", self.target), 5)
        except OSError:
            sock.close()
            return
        self.start(self._forward, sock, outbound)

    def _forward(self, inbound: socket.socket, outbound: socket.socket) -> None:
        with self._lock:
            self._open |= {inbound, outbound}
        if self._cut.is_set():  # it was cut while this one was being opened
            self.close_all()
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
