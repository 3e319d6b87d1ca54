#!/usr/bin/env -S python -P
"""`health api URL | valkey HOST:PORT | worker | ticker`: exit code 0 if the container's program works, else 1.

Checks run every five seconds in every container, also while a machine has too much to do. So each is one process, which
the engine can end, and it speaks HTTP or Redis' protocol by itself: importing a client would cost ten times as much.
"""

import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

_TIMEOUT = 3.0  # seconds; below that of the checks in docker-compose.yml
# A healthy worker's heartbeat is at most 5 s old while it waits, and 2 s while it works (4 s on the mining queue).
_HEARTBEAT_SECONDS = 45.0
_TICKER_SECONDS = 30
_PID_FILE = "in-node.pid"  # written by in_node.py


class Unhealthy(Exception):
    """What is wrong, in one sentence."""


class Valkey:
    """A connection that asks one thing after the other."""

    def __init__(self, connection: socket.socket, replies: BinaryIO) -> None:
        self._connection = connection
        self._replies = replies

    def ask(self, *words: bytes) -> Any:
        """The reply to a command: bytes, None, or a list of these."""
        sent = b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
        self._connection.sendall(b"*%d\r\n%s" % (len(words), sent))
        return self._read()

    def _read(self) -> Any:
        line = self._replies.readline(512).strip()
        match line[:1]:
            case b"+" | b":":
                return line[1:]
            case b"$":
                size = int(line[1:])
                return None if size < 0 else self._replies.read(size + 2)[:size]
            case b"*":
                return [self._read() for _ in range(int(line[1:]))]
        raise Unhealthy(f"Valkey answered {line.decode(errors='replace') or 'nothing'}")


@contextmanager
def connected(host: str, port: int, password: bytes = b"", user: str = "quarry") -> Iterator[Valkey]:
    """A Valkey that has accepted our login. It answers only once its data is loaded.

    Args:
        password: b"": that of VALKEY_PASSWORD_FILE.
    """
    password = password or Path(os.environ["VALKEY_PASSWORD_FILE"]).read_bytes().strip()
    with socket.create_connection((host, port), _TIMEOUT) as connection, connection.makefile("rb") as replies:
        valkey = Valkey(connection, replies)
        valkey.ask(b"AUTH", user.encode(), password)
        yield valkey


@contextmanager
def _named(variable: str) -> Iterator[Valkey]:
    """The Valkey of a URL as docker-compose.yml writes it, or as `in-node` completes it."""
    scheme, _, rest = os.environ[variable].partition("://")
    login, _, place = rest.rpartition("@")
    user, _, password = login.partition(":")
    place, _, database = place.partition("/")
    host, _, port = place.rpartition(":")
    if (scheme, database) != ("redis", "0") or user not in ("quarry", "miner"):
        raise Unhealthy(f"{variable} is not redis://quarry@HOST:PORT/0")
    with connected(host, int(port), password.encode(), user) as valkey:
        yield valkey


def api(url: str) -> None:
    """The API answers, and can read its chain."""
    place, _, path = url.removeprefix("http://").partition("/")
    host, _, port = place.rpartition(":")
    with socket.create_connection((host, int(port)), _TIMEOUT) as connection, connection.makefile("rb") as answer:
        connection.sendall(f"GET /{path} HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n".encode())
        line = answer.readline(512)
        if line.split()[1:2] != [b"200"]:
            raise Unhealthy(f"the API answered {line.decode(errors='replace').strip() or 'nothing'}")


def valkey(address: str) -> None:
    """Valkey accepts our login and answers."""
    host, _, port = address.rpartition(":")
    with connected(host, int(port)) as server:
        server.ask(b"PING")


def worker() -> None:
    """This container's worker is registered at the broker, and its last heartbeat is recent."""
    from datetime import UTC, datetime

    own = [socket.gethostname().encode(), Path(tempfile.gettempdir(), _PID_FILE).read_bytes().strip()]
    beats = []
    with _named("QUARRY_BROKER_URL") as broker:
        for key in broker.ask(b"SMEMBERS", b"rq:workers"):
            *found, beat = broker.ask(b"HMGET", key, b"hostname", b"pid", b"last_heartbeat")
            if found == own and beat:
                beats.append(datetime.fromisoformat(beat.decode()))  # RQ's, in UTC
    if not beats:
        raise Unhealthy("the worker is not registered at the broker")
    age = min((datetime.now(UTC) - beat.replace(tzinfo=beat.tzinfo or UTC)).total_seconds() for beat in beats)
    if age > _HEARTBEAT_SECONDS:
        raise Unhealthy(f"the worker's last heartbeat is {age:.0f} s old")


def ticker() -> None:
    """The ticker has done the node's housekeeping recently."""
    with _named("QUARRY_REDIS_URL") as store:
        kept = store.ask(b"GET", b"quarry:{%s}:kept" % os.environ["QUARRY_NODE"].encode())
        seconds, _ = store.ask(b"TIME")  # both by the store's clock
    if kept is None or int(seconds) - float(kept) > _TICKER_SECONDS:
        raise Unhealthy(f"no housekeeping in the last {_TICKER_SECONDS} s")


def main(arguments: list[str]) -> int:
    """Exit code 0: healthy; 1: unhealthy, with one line that says why; 2: wrong usage."""
    try:
        match arguments:
            case ["api", url]:
                api(url)
            case ["valkey", address]:
                valkey(address)
            case ["worker"]:
                worker()
            case ["ticker"]:
                ticker()
            case _:
                print("usage: health api URL | valkey HOST:PORT | worker | ticker", file=sys.stderr)
                return 2
    except Exception as error:  # a check that cannot be made has failed
        print(f"unhealthy: {error or type(error).__name__}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
