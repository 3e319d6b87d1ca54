"""One process of a miner: it leases proofs, searches them for shares, and reports."""

import random
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress

from shared.proof import accepts
from worker.kernel import Kernel
from worker.miner.board import Board
from worker.miner.door import Answer, Away, Leased, LeaseDoor, Refused

# Between two slices a search looks whether the tip is new and whether it is told to stop.
SLICE_SECONDS = 0.1
# The next lease is asked for when so much work is left of this one, in seconds.
AHEAD_SECONDS = 0.5
# The node waits for a round for so long before it answers that none is open.
WAIT_SECONDS = 20.0
LONGEST_PAUSE = 30.0
_LAST_SECONDS = 2.0
_LOOK_SECONDS = 0.1


class Search:
    """One process. Requests are sent by threads of their own while the kernel searches.

    Args:
        speed: hashes per second of the kernel, as measured.
    """

    def __init__(self, door: LeaseDoor, kernel: Kernel, speed: float, board: Board) -> None:
        self._door = door
        self._kernel = kernel
        self._speed = speed
        self._board = board
        self._threads = ThreadPoolExecutor(3, "lease")
        self._ahead: Future[Leased | None] | None = None
        self._over: set[tuple[str, str]] = set()  # round and tip of leases that are of no use any more
        self._reports: list[Future[None]] = []
        self._pause = 0.5

    def run(self) -> None:
        """Search until the miner is told to stop. What was found until then is reported."""
        while not self._board.is_stopping:
            lease = self._next()
            if lease is not None and self._is_good(lease):
                self._search(lease)

    def close(self) -> None:
        """Wait a moment for the answers to reports, and for no others."""
        wait(self._reports, _LAST_SECONDS)
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._door.close()

    def _is_good(self, lease: Leased) -> bool:
        """Whether a block can still be made with a lease, as far as is known."""
        return (lease.round, lease.tip) not in self._over and self._board.tip in ("", lease.tip)

    def _next(self) -> Leased | None:
        """The lease that was asked for ahead, if it is still good, or another."""
        ahead, self._ahead = self._ahead, None
        lease = self._await(ahead) if ahead is not None else None
        if lease is not None and self._is_good(lease):
            return lease
        return self._await(self._threads.submit(self._take))

    def _await(self, asked: Future[Leased | None]) -> Leased | None:
        """The lease that was asked for; None if the miner is told to stop first."""
        while not self._board.is_stopping:
            with suppress(FutureTimeoutError):
                return asked.result(_LOOK_SECONDS)
        return None

    def _take(self, seconds: float = WAIT_SECONDS) -> Leased | None:
        """A lease; None after a pause: no round is open, or the node does not answer."""
        try:
            found = self._door.take(max(1, int(self._speed)), seconds)
        except Away:
            self._board.is_away = True
            self._board.wait(self._pause * random.uniform(0.5, 1.0))
            self._pause = min(LONGEST_PAUSE, 2 * self._pause)
            return None
        except Refused as error:
            self._board.fail(str(error))
            return None
        self._board.is_away, self._pause = False, 0.5
        if isinstance(found, Leased):
            self._board.hear_of_lease(found.height - 1, found.tip)
            return found
        self._board.wait(found * random.uniform(1.0, 1.5))
        return None

    def _search(self, lease: Leased) -> None:
        """Search one lease to its end, or until it is of no use any more."""
        shares: list[int] = []
        start, reported = lease.proofs.start, lease.proofs.start
        while start < lease.proofs.stop and not self._board.is_stopping and self._is_good(lease):
            end = min(lease.proofs.stop, start + max(1, int(self._speed * SLICE_SECONDS)))
            if self._ahead is None and lease.proofs.stop - start <= self._speed * AHEAD_SECONDS:
                self._ahead = self._threads.submit(self._take, 0.0)
            began = time.perf_counter()
            first, found = start, False
            while start < end:
                share = self._kernel.scan(lease.seal, lease.share_difficulty, start, end)
                start = end if share is None else share + 1
                if share is not None:
                    shares.append(share)
                    found = accepts(lease.seal, lease.difficulty, share)
                    if found:
                        break
            self._learn(start - first, time.perf_counter() - began)
            if found or len(shares) >= 200:
                self._report(lease, shares, start - reported)  # now: others search for the same block
                shares, reported = [], start
        if start > reported:
            done = start - reported
            if self._board.is_stopping:
                self._report(lease, shares, done)
            else:
                self._reports = [each for each in self._reports if not each.done()]
                self._reports.append(self._threads.submit(self._report, lease, shares, done))

    def _learn(self, hashes: int, seconds: float) -> None:
        self._board.add("hashes", hashes)
        if seconds > SLICE_SECONDS / 8:  # shorter ones say little
            self._speed = max(1.0, 0.8 * self._speed + 0.2 * hashes / seconds)

    def _report(self, lease: Leased, shares: list[int], hashes: int) -> None:
        """Report, again if the node does not answer. A refused report is lost: the node has its reasons."""
        for attempt in range(4):
            try:
                answer = self._door.report(lease, shares, hashes)
            except Away:
                self._board.is_away = True
                if self._board.wait(0.2 * 2**attempt):
                    return
                continue
            except Refused as error:
                if error.code == "unknown_voucher":
                    self._board.fail(str(error))
                self._over.add((lease.round, lease.tip))
                return
            self._note(lease, answer)
            return

    def _note(self, lease: Leased, answer: Answer) -> None:
        self._board.add("credited", answer.credited)
        self._board.add("late", answer.rejected)
        if answer.sealed is not None:
            self._board.add("blocks", 1)
        if answer.is_stale or answer.sealed is not None:
            if len(self._over) > 1000:
                self._over.clear()
            self._over.add((lease.round, lease.tip))
