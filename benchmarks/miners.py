"""Simulated miners over HTTP, in a process of their own.

Each has a connection, and every WORK_SECONDS hands in the shares of one lease and takes the next. `benchmarks.leases`
starts it as `python -m benchmarks.miners PORT MINERS SECONDS VOUCHER…`. The shares are real ones, so each lease is
searched. It prints a line `begin` when all miners work, `end` after so many seconds,
and then one JSON object with what was answered between the two.
"""

import asyncio
import hashlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from services.mining.leases import FEWEST_PROOFS, WORK_SECONDS

# Hashes per second that a miner says it does: few, so that one core searches all leases.
RATE = int(FEWEST_PROOFS / WORK_SECONDS)
# As the servers ask for (Retry-After).
_RETRY_SECONDS = 1.0
# Turns of all miners before the measurement.
_WARM_UP_TURNS = 3


class Load:
    """What all miners of the process have in common."""

    def __init__(self) -> None:
        self.counts = False
        self.leases: list[float] = []  # seconds until each answer
        self.reports: list[float] = []
        self.shares = 0
        self.busy = 0  # answers of 503, after which the request is sent again
        self.late = 0  # turns that began a second or more after their time
        self.error = ""


class Miner(asyncio.Protocol):
    """One miner."""

    def __init__(self, load: Load, number: int, voucher: str) -> None:
        self._load = load
        self._head = (
            f" HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: python-urllib3/2.6\r\nAccept-Encoding: identity\r\n"
            f"Authorization: Bearer {voucher}\r\nContent-Type: application/json\r\n"
        )
        self._wanted = json.dumps({"name": f"miner {number}", "rate": RATE})
        self._request = self._buffer = b""
        self._transport: Any = None
        self._then: Callable[[Any], None] = self._work
        self._answered: list[float] = []
        self._asked = self._turn_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def begin(self) -> None:
        """Take the first lease."""
        self._turn_at = time.monotonic()
        self._take(None)

    def _take(self, answer: Any) -> None:
        if answer is not None and self._load.counts:
            self._load.shares += answer["accepted"]
        self._send("/leases?wait=20", self._wanted, self._work, self._load.leases)

    def _work(self, lease: Any) -> None:
        found = _shares(lease["seal"].encode(), lease["share_difficulty"], lease["start"], lease["stop"])
        body = json.dumps({"shares": found, "hashes": lease["stop"] - lease["start"]})
        self._turn_at += WORK_SECONDS
        left = self._turn_at - time.monotonic()
        self._load.late += left < -1
        asyncio.get_running_loop().call_later(max(0.0, left), self._report, f"/leases/{lease['lease']}", body)

    def _report(self, path: str, body: str) -> None:
        self._send(path, body, self._take, self._load.reports)

    def _send(self, path: str, body: str, then: Callable[[Any], None], answered: list[float]) -> None:
        self._then, self._answered, self._asked = then, answered, time.perf_counter()
        self._request = f"POST {path}{self._head}Content-Length: {len(body)}\r\n\r\n{body}".encode()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        fields = head.lower()
        length = fields.partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if len(body) < int(length or b"0"):
            return
        self._buffer = b""
        if fields.startswith(b"http/1.1 503"):
            self._load.busy += self._load.counts
            asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._transport.write, self._request)
            return
        if not fields.startswith(b"http/1.1 200"):
            self._load.error = self._load.error or (head + body).decode(errors="replace")
            return
        if self._load.counts:
            self._answered.append(time.perf_counter() - self._asked)
        self._then(json.loads(body))

    def connection_lost(self, error: Exception | None) -> None:
        self._load.error = self._load.error or f"the connection has ended: {error}"


def _shares(seal: bytes, difficulty: int, start: int, stop: int) -> list[int]:
    """As `shared.proof.accepts`, from the state after the seal: for so few proofs that is the quickest."""
    most, begun, found = ((2**256 - 1) // difficulty).to_bytes(32, "big"), hashlib.sha256(seal), []
    for proof in range(start, stop):
        state = begun.copy()
        state.update(b"%d" % proof)
        if state.digest() <= most:
            found.append(proof)
    return found


async def work(port: int, miners: int, seconds: float, vouchers: list[str]) -> None:
    """Let the miners work, and print what they were answered."""
    loop, load = asyncio.get_running_loop(), Load()
    all_miners = []
    for number in range(miners):
        voucher = vouchers[number % len(vouchers)]
        _, miner = await loop.create_connection(lambda n=number, v=voucher: Miner(load, n, v), "127.0.0.1", port)  # type: ignore[misc]
        all_miners.append(miner)
    for number, miner in enumerate(all_miners):
        loop.call_later(number * WORK_SECONDS / miners, miner.begin)
    await asyncio.sleep(_WARM_UP_TURNS * WORK_SECONDS)
    print("begin", flush=True)
    load.counts, began = True, time.monotonic()
    await asyncio.sleep(seconds)
    load.counts, spent = False, time.monotonic() - began
    print("end", flush=True)
    found = {
        "seconds": spent,
        "leases": sorted(load.leases),
        "reports": sorted(load.reports),
        "shares": load.shares,
        "busy": load.busy,
        "late": load.late,
        "error": load.error,
    }
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    asyncio.run(work(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]))
