"""Valkey servers for tests, and free ports."""

import contextlib
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

from redis import Redis

from services.connections.servers import connect_for_requests
from services.launch.embedded import EmbeddedValkey, find_server

PASSWORD = "pa#s/s@w:o%r d?[é]"  # every character that means something in a URL


def make_server(directory: Path) -> EmbeddedValkey:
    """A server that is started by `with`: ours, or the program that TEST_REDIS_SERVER names.

    It does not write to disk before it answers: no test that shares a server cuts its power, and an fsync per command
    would take most of their time.
    """
    given = os.environ.get("TEST_REDIS_SERVER")
    return EmbeddedValkey(directory, durability="unsafe", executable=Path(given) if given else None)


def connect(server: EmbeddedValkey) -> Redis:
    """An empty database, connected as the API connects."""
    redis = connect_for_requests(server.url)
    redis.flushall()
    return redis


@contextmanager
def socket_server(directory: Path) -> Iterator[str]:
    """The URL of a server that listens on a Unix socket only, with PASSWORD."""
    path = directory / "r.sock"
    command = [
        find_server(),
        "--port",
        "0",
        "--unixsocket",
        path,
        "--requirepass",
        PASSWORD,
        "--save",
        "",
        "--dir",
        directory,
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 10
            while not path.exists():
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield f"unix://:{quote(PASSWORD, safe='')}@{path}?db=2"
        finally:
            process.terminate()


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def login_of(url: str) -> str:
    """USER:PASSWORD as the URL has them."""
    return url.partition("://")[2].partition("@")[0]


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_ports(count: int) -> range:
    """So many ports in a row that are free now, below those that the system gives to outgoing connections."""
    while True:
        # Not `random`: pytest-randomly gives it the same seed in every process, so two tests would take the same ports.
        first = 10_000 + secrets.randbelow(20_000)
        with contextlib.suppress(OSError), contextlib.ExitStack() as probes:
            for port in range(first, first + count):
                probes.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return range(first, first + count)
