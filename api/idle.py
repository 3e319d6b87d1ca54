"""Ending connections on which nothing happens any more.

The server has a deadline for the head of a request and none for its body or for the reading of its answer, and a thread
waits for each (granian, issue 728). Half-open connections would take one thread after the other, for good.
"""

import os
import socket
import struct
import sys
import threading

import structlog

_log = structlog.get_logger(__name__)

# Longer than any answer of ours is silent: `/mine` and `/jobs` wait for 60 s at most.
IDLE_SECONDS = 75.0
_LOOK_SECONDS = 5.0
# Offsets in <linux/tcp.h>, struct tcp_info: milliseconds since data was sent, and since data was received.
_LAST_DATA_SENT, _LAST_DATA_RECEIVED = 44, 52


def watch(port: int, seconds: float = IDLE_SECONDS) -> None:
    """From now on, end this process's connections to `port` that have been silent both ways for `seconds`.

    Needs Linux, which tells when a connection last carried data; elsewhere nothing is done.
    """
    if sys.platform != "linux":
        return

    def look() -> None:
        while True:
            try:
                ended = end_idle(port, seconds)
                if ended:
                    _log.info("idle_connections_ended", count=ended)
            except OSError as error:  # such as no descriptor being left; the next look may have one
                _log.warning("idle_connections_unknown", error=error.strerror)
            pause.wait(min(_LOOK_SECONDS, seconds / 4))

    pause = threading.Event()
    threading.Thread(target=look, name="idle-connections", daemon=True).start()


def end_idle(port: int, seconds: float) -> int:
    """End this process's connections to `port` that have been silent both ways for `seconds`; how many."""
    ended = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            # A copy: the descriptor may be closed and used for another connection at any time.
            copy = os.dup(int(name))
        except OSError:
            continue
        try:
            connection = socket.socket(fileno=copy)
        except OSError:  # no socket
            os.close(copy)
            continue
        with connection:
            if _is_ours(connection, port) and _silent_for(connection) > seconds:
                connection.shutdown(socket.SHUT_RDWR)
                ended += 1
    return ended


def _is_ours(connection: socket.socket, port: int) -> bool:
    if connection.family not in (socket.AF_INET, socket.AF_INET6) or connection.type != socket.SOCK_STREAM:
        return False
    try:
        connection.getpeername()  # the listening socket has none
        return bool(connection.getsockname()[1] == port)
    except OSError:
        return False


def _silent_for(connection: socket.socket) -> float:
    """Seconds since data was last sent or received."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_DATA_RECEIVED + 4)
    milliseconds: int = min(
        struct.unpack_from("I", info, offset)[0] for offset in (_LAST_DATA_SENT, _LAST_DATA_RECEIVED)
    )
    return milliseconds / 1000
