"""How many proofs a worker claims at once, and how many it scans before it looks at its round again."""

import time

from worker.kernel import Kernel

# Between two slices a search checks whether its round is still open. An alarm or SIGTERM waits for the end of a slice.
SLICE_SECONDS = 0.25
# A claim costs Redis eight commands, with those inside its script, and a worker's heartbeats in RQ cost three a second:
# this keeps the sum below ten a second. It is also the most work that the death of a worker can cost.
LONGEST_SECONDS = 1.5
# After this long a claim is given up: the worker has become slower, and must report.
GIVE_UP_SECONDS = 2.0
# A shorter claim would take less time than its round trip to Redis.
_SHORTEST_SECONDS = 0.004
# An easy round would often be over before a long claim is, and the rest of the claim would be wasted.
_PART_OF_ROUND = 4


class ClaimSize:
    """The size of the next claim, from the speed that this worker has shown.

    Args:
        speed: hashes per second, as measured when the kernel was warmed up.
    """

    def __init__(self, speed: float) -> None:
        self._speed = max(speed, 1000.0)
        self._difficulty = 0
        self._spent = 0.0  # seconds scanned for this round

    def begin(self) -> None:
        """Begin a round. Its first claims are small, so that it soon has figures to show."""
        self._spent = 0.0

    @property
    def speed(self) -> float:
        """Hashes per second that this worker has shown."""
        return self._speed

    @property
    def proofs(self) -> int:
        """Proofs to claim."""
        shortest = self._speed * _SHORTEST_SECONDS
        longest = self._speed * min(LONGEST_SECONDS, max(SLICE_SECONDS, self._spent))
        part = self._difficulty / _PART_OF_ROUND if self._difficulty else shortest
        return int(min(longest, max(shortest, part)))

    @property
    def slice(self) -> int:
        """Proofs to scan between two checks whether the round is still open."""
        return int(self._speed * SLICE_SECONDS)

    def learn(self, hashes: int, seconds: float, difficulty: int) -> None:
        """Adapt the speed: a scan of `hashes` proofs took `seconds`, in a round of this difficulty."""
        self._difficulty = difficulty
        self._spent += seconds
        # Very short scans are mostly overhead, and say little about the speed.
        if seconds > _SHORTEST_SECONDS / 4:
            self._speed = max(1000.0, 0.7 * self._speed + 0.3 * hashes / seconds)


def measure_speed(kernel: Kernel) -> float:
    """Hashes per second of a kernel that is warm: the best of three scans of about 20 ms, which find nothing."""
    hashes, best = 20_000, 0.0
    for _ in range(3):
        started = time.perf_counter()
        kernel.scan(b"0" * 64, 1 << 200, 10**9, 10**9 + hashes)
        best = max(best, hashes / (time.perf_counter() - started))
        hashes = int(best * 0.02)
    return best
