#!/usr/bin/env -S python -P
"""`health api URL | valkey HOST:PORT | worker | ticker`: exit code 0 if the container's program works, else 1.

Checks run every few seconds in every container, so each imports only what it needs. Those of workers and tickers cost a
third of a second of a core; `health lately SECONDS COMMAND …` runs such a COMMAND unless it has passed within the last
SECONDS.
"""

import os
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis import Redis

_TIMEOUT = 3.0  # seconds; below that of the checks in docker-compose.yml
# A healthy worker's heartbeat is at most 5 s old while it waits, and 2 s while it works (4 s on the mining queue).
_HEARTBEAT_SECONDS = 45.0
_TICKER_SECONDS = 30
_PID_FILE = "in-node.pid"  # written by in_node.py
# Its time of change is when a worker's or ticker's check last passed. A container that starts again has an empty /tmp.
_PASSED_FILE = "health.passed"


class Unhealthy(Exception):
    """What is wrong, in one sentence."""


def api(url: str) -> None:
    """The API answers, and can read its chain.

    Uses a plain socket, as `valkey` does: importing a client takes longer than the rest of the check.
    """
    place, _, path = url.removeprefix("http://").partition("/")
    host, _, port = place.rpartition(":")
    with socket.create_connection((host, int(port)), _TIMEOUT) as connection, connection.makefile("rb") as answer:
        connection.sendall(f"GET /{path} HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n".encode())
        line = answer.readline(512)
        if line.split()[1:2] != [b"200"]:
            raise Unhealthy(f"the API answered {line.decode(errors='replace').strip() or 'nothing'}")


def valkey(address: str) -> None:
    """Valkey accepts our login and answers, so its data is loaded.

    Uses a plain socket: importing a client takes longer than the rest of the check.
    """
    host, _, port = address.rpartition(":")
    password = Path(os.environ["VALKEY_PASSWORD_FILE"]).read_text("utf-8").strip()
    with socket.create_connection((host, int(port)), _TIMEOUT) as connection, connection.makefile("rb") as replies:
        connection.sendall(f"AUTH quarry {password}\r\nPING\r\n".encode())
        for expected in (b"+OK", b"+PONG"):
            reply = replies.readline(512).strip()
            if reply != expected:
                raise Unhealthy(f"Valkey answered {reply.decode(errors='replace')}")


def worker() -> None:
    """This container's worker is registered at the broker, and its last heartbeat is recent."""
    from datetime import UTC, datetime

    pid = Path(tempfile.gettempdir(), _PID_FILE).read_bytes().strip()
    with _connect("QUARRY_BROKER_URL") as broker:
        pipeline = broker.pipeline(transaction=False)
        for key in broker.smembers("rq:workers"):
            pipeline.hmget(key, ["hostname", "pid", "last_heartbeat"])
        own = (socket.gethostname().encode(), pid)
        beats = [beat for host, number, beat in pipeline.execute() if (host, number) == own and beat]
    if not beats:
        raise Unhealthy("the worker is not registered at the broker")
    moments = (datetime.fromisoformat(beat.decode()) for beat in beats)  # RQ's, in UTC
    age = min((datetime.now(UTC) - moment.replace(tzinfo=moment.tzinfo or UTC)).total_seconds() for moment in moments)
    if age > _HEARTBEAT_SECONDS:
        raise Unhealthy(f"the worker's last heartbeat is {age:.0f} s old")


def ticker() -> None:
    """The ticker has done the node's housekeeping recently."""
    node = os.environ["QUARRY_NODE"]
    with _connect("QUARRY_REDIS_URL") as store:
        kept, (seconds, _) = store.get(f"quarry:{{{node}}}:kept"), store.time()  # both by the store's clock
    if kept is None or seconds - float(kept) > _TICKER_SECONDS:
        raise Unhealthy(f"no housekeeping in the last {_TICKER_SECONDS} s")


def lately(seconds: str, command: list[str]) -> None:
    """Return if the container's check has passed within the last `seconds`; else become the command.

    Not a child: an engine whose patience is over kills the check that it started, and what that had started would go
    on, more of it every few seconds on a machine that is too slow already.
    """
    passed = Path(tempfile.gettempdir(), _PASSED_FILE)
    if not passed.exists() or not 0 <= time.time() - passed.stat().st_mtime < float(seconds):
        os.execvp(command[0], command)


def _note_pass() -> None:
    Path(tempfile.gettempdir(), _PASSED_FILE).touch()


def _connect(variable: str) -> "Redis":
    from services.connections import connect_for_requests

    return connect_for_requests(os.environ[variable])


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
                _note_pass()
            case ["ticker"]:
                ticker()
                _note_pass()
            case ["lately", seconds, *command] if command:
                lately(seconds, command)
            case _:
                print(
                    "usage: health api URL | valkey HOST:PORT | worker | ticker | lately SECONDS COMMAND …",
                    file=sys.stderr,
                )
                return 2
    except Exception as error:  # a check that cannot be made has failed
        print(f"unhealthy: {error or type(error).__name__}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
