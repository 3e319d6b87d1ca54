"""How many proofs a worker claims at once."""

import time

from worker.kernel import Kernel

# A claim lasts about this long: Redis sees four commands per worker and second, and an ended round is noticed soon.
CLAIM_SECONDS = 0.25
# Below this the round trip to Redis would cost more than it saves.
_SHORTEST_SECONDS = 0.004
# A round of low difficulty is likely over before a long claim is: whoever searches on then searches in vain.
_PART_OF_ROUND = 4


class ClaimSize:
    """The size of the next claim, from the speed that this worker has shown.

    Args:
        speed: hashes per second, as measured when the kernel was warmed up.
    """

    def __init__(self, speed: float) -> None:
        self._speed = max(speed, 1000.0)
        self._difficulty = 0

    @property
    def proofs(self) -> int:
        """Proofs to claim."""
        longest = self._speed * CLAIM_SECONDS
        shortest = self._speed * _SHORTEST_SECONDS
        part = self._difficulty / _PART_OF_ROUND if self._difficulty else shortest
        return int(min(longest, max(shortest, part)))

    def learn(self, hashes: int, seconds: float, difficulty: int) -> None:
        """Take in how long a scan took."""
        self._difficulty = difficulty
        # Very short scans are mostly overhead, and say little.
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
