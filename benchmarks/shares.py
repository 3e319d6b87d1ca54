"""What leases promise besides speed: a miner's credit fits its hashes, and work for an old tip ends soon.

Part of the benchmark `leases`. The node is a real one; the miners are the threads of `quarry miner` in this process.
"""

import math
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.door import running_door
from benchmarks.mining import ENDLESS
from benchmarks.node import BenchNode
from benchmarks.report import Result
from services.mining.leases import WORK_SECONDS
from worker.claim_size import measure_speed
from worker.kernel import Kernel, choose
from worker.miner.board import Board
from worker.miner.door import Leased, LeaseDoor
from worker.miner.news import hear
from worker.miner.search import Search

_SHARES = 1_000
_RATE = 200_000  # hashes per second that the miner of `credit` says it does
_EASY = 4_000_000  # hashes of a block: found within a second, and in few of the leases of a slow miner
_NAME = "bench"


def measure(result: Result, say: Callable[[str], None], turns: int) -> None:
    """Add `credit_deviations` and `stale_work` to the result."""
    kernel = choose("auto")
    kernel.warm_up()
    say(f"the credit for {_SHARES:,} shares")
    with BenchNode(workers=0, upkeep=False, difficulty=ENDLESS) as node, running_door(node) as (port, _):
        node.post("/mine?wait=0")
        door = LeaseDoor(_url(port), node.post("/vouchers", {"name": _NAME})["voucher"], _NAME, None)
        deviations = _credit(door, kernel)
        door.close()
    result.add(
        "credit_deviations",
        deviations,
        "deviations",
        target=3.0,
        better="lower",
        than=f"credit and hashes that were done, over {_SHARES:,} shares",
    )
    with BenchNode(workers=0, upkeep=False, difficulty=_EASY) as node, running_door(node) as (port, _):
        late = [_stale(node, port, kernel, say, turn) for turn in range(turns)]
    result.add("stale_work", max(late), "s", target=1.0, better="lower", than=f"the longest of {turns} new tips")
    result.add("stale_work_median", statistics.median(late), "s", better="lower", than="work for a tip of before")


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _credit(door: LeaseDoor, kernel: Kernel) -> float:
    """How many standard deviations a miner's credit is from its hashes. It comes to a random place in each lease."""
    done = credited = shares = variance = 0
    while shares < _SHARES:
        lease = _lease(door, _RATE)
        size = random.randint(len(lease.proofs) // 2, len(lease.proofs))
        found, start, stop = [], lease.proofs.start, lease.proofs.start + size
        while start < stop and (share := kernel.scan(lease.seal, lease.share_difficulty, start, stop)) is not None:
            found.append(share)
            start = share + 1
        # As if all of it was done: a miner holds only so many leases that it has not worked off.
        credited += door.report(lease, found, len(lease.proofs)).credited
        done += size
        shares += len(found)
        variance += len(found) * lease.share_difficulty**2
    return abs(credited - done) / math.sqrt(variance)


def _lease(door: LeaseDoor, rate: int) -> Leased:
    while isinstance(lease := door.take(rate, 5.0), float):
        time.sleep(lease)
    return lease


class _Blind(Kernel):
    """A kernel that finds nothing, and notes for which seal it worked last, and until when."""

    def __init__(self, kernel: Kernel) -> None:
        self.name = kernel.name
        self._kernel = kernel
        self.until: dict[bytes, float] = {}

    def warm_up(self) -> None:
        """Nothing: the kernel is warm."""

    def scan(self, seal: bytes, difficulty: int, start: int, stop: int) -> int | None:
        self._kernel.scan(seal, 2**200, start, stop)  # a share would end it early
        self.until[seal] = time.monotonic()
        return None


@contextmanager
def _miner(port: int, voucher: str, kernel: Kernel) -> Iterator[None]:
    """A miner that works at the door, and hears of new tips."""
    board, speed = Board(), measure_speed(choose("auto"))
    search = Search(LeaseDoor(_url(port), voucher, "blind", None), kernel, speed, board)
    threads = [
        threading.Thread(target=search.run, daemon=True),
        threading.Thread(target=hear, args=(LeaseDoor(_url(port), voucher, "blind", None), board), daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        board.stop()
        threads[0].join(30)
        search.close()


def _stale(node: BenchNode, port: int, kernel: Kernel, say: Callable[[str], None], turn: int) -> float:
    """Seconds for which a miner works for the tip of before, after another miner has sent the proof of a block."""
    say(f"a new tip while a miner works, {turn + 1}")
    voucher = node.post("/vouchers", {"name": f"tip{turn}"})["voucher"]
    blind, other = _Blind(kernel), LeaseDoor(_url(port), voucher, "other", None)
    node.post("/mine?wait=0")
    with _miner(port, voucher, blind):
        while not blind.until:
            time.sleep(0.01)
        while True:
            lease = _lease(other, 1_000_000)
            proof = kernel.scan(lease.seal, lease.difficulty, lease.proofs.start, lease.proofs.stop)
            if proof is None:
                continue
            seals, sent = set(blind.until), time.monotonic()
            if other.report(lease, [proof], proof + 1 - lease.proofs.start).sealed is not None:
                break
        time.sleep(2 * WORK_SECONDS)  # a lease that was taken ahead would have been begun by now
    other.close()
    old = [until for seal, until in blind.until.items() if seal in seals or seal == lease.seal]
    return max(0.0, max(old) - sent)
