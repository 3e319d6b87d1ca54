"""Bare prototypes of JSON-RPC, to compare `/rpc` with: the least that granian and Valkey do for one request in Python.

A read is one Redis round trip. A send recovers one signature and runs one Lua script under `appendfsync always`. There
is no framework, no strict JSON, no rule and no mempool. `benchmarks.rpc` starts it as
`python -m benchmarks.bare_rpc PORT`.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from redis import Redis

from benchmarks.node import free_port
from benchmarks.rpc_client import Target
from services.launch.embedded import EmbeddedValkey
from services.system.programs import scrubbed
from shared.ethereum import decode_raw

REDIS_URL = "PROTOTYPE_REDIS_URL"
_WRITE = "redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) return redis.call('RPUSH', KEYS[2], ARGV[1])"


def application() -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    """The application of one server process."""
    redis = Redis.from_url(os.environ[REDIS_URL])
    write = redis.register_script(_WRITE)

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        call = json.loads(environ["wsgi.input"].read())
        if call["method"] == "eth_sendRawTransaction":
            raw = call["params"][0]
            result = f"0x{decode_raw(bytes.fromhex(raw[2:])).id.hex()}"
            write(keys=["entries", "order"], args=[result, raw])
        else:
            result = hex(int(redis.hget("balances", call["params"][0]) or 0))
        body = json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": result}).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    return answer


def main(port: int) -> None:
    """Serve with as many processes and threads as a node's API has."""
    Granian(
        "benchmarks.bare_rpc:application",
        factory=True,
        port=port,
        interface=Interfaces.WSGI,
        workers=2,
        blocking_threads=160,
        http=HTTPModes.http1,
        websockets=False,
        log_level=LogLevels.warning,
    ).serve()


@contextmanager
def started() -> Iterator[Target]:
    """Run the prototype on a Valkey of its own."""
    with TemporaryDirectory(prefix="quarry-bench-") as directory, EmbeddedValkey(Path(directory) / "valkey") as valkey:
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "benchmarks.bare_rpc", str(port)],
            env=scrubbed(os.environ) | {REDIS_URL: valkey.near_url},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            target = Target("prototype", port, "/", 847731, "", 0)
            _await(target, process)
            yield target
        finally:
            process.terminate()
            process.wait(10)


def _await(target: Target, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        try:
            target.call("eth_getBalance", "0x0", "latest")
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("the prototype does not answer")


if __name__ == "__main__":
    main(int(sys.argv[1]))
