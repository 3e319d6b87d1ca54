"""The pace of one worker under a hash-rate limit: a token bucket that holds little more than one slice.

A token is one hash. A worker scans a slice only when the bucket has a token for each of its hashes. The bucket starts
empty, so no work comes before its time, and it keeps what one slice needs, and SPARE_SECONDS more for a process that
wakes up late. So a worker does at most `rate * T + most` hashes in any T seconds, where `most` is the bucket's size.

A round's figures count hashes when they are reported, up to REPORT_SECONDS after the first of them. AIM is what remains
of a limit after all three, so that neither the hashes that are done nor those that are reported exceed the limit over
any WINDOW_SECONDS.
"""

from typing import Final

WINDOW_SECONDS: Final = 10.0
SLICE_SECONDS: Final = 0.03
SPARE_SECONDS: Final = 0.04
REPORT_SECONDS: Final = 0.12
# A report comes at the end of a slice, so its hashes may be a slice older than REPORT_SECONDS.
AIM: Final = WINDOW_SECONDS / (WINDOW_SECONDS + 2 * SLICE_SECONDS + SPARE_SECONDS + REPORT_SECONDS)


class Pace:
    """How fast one worker may search. Times are seconds of a clock that is never set, such as `time.monotonic`."""

    def __init__(self) -> None:
        self._rate: float | None = None  # tokens per second; None: no limit
        self._usual = 0.0  # the last rate above 0, from which slices are made
        self._tokens = 0.0
        self._at = 0.0  # time up to which the tokens are counted

    @property
    def is_limited(self) -> bool:
        return self._rate is not None

    @property
    def slice(self) -> int:
        """Hashes to scan at once. Only under a limit."""
        return max(1, int(self._usual * SLICE_SECONDS))

    @property
    def claim(self) -> int:
        """Proofs to claim at once: as many as can be scanned until the next report. Only under a limit."""
        return max(1, int(self._usual * REPORT_SECONDS))

    def set(self, limit: float | None, now: float) -> None:
        """Go by another limit from now on.

        Args:
            limit: hashes per second; None: no limit; 0: do nothing until the next call.
        """
        if self._rate is None:
            self._tokens = 0.0  # what was done before was not counted
        self._count(now)
        self._rate = None if limit is None else limit * AIM
        self._at = now
        if self._rate:
            self._usual = self._rate
            self._tokens = min(self._tokens, self._most)

    def wait(self, hashes: int, now: float) -> float:
        """Seconds until `hashes` may be done, at most `slice` of them; 0: now. Infinite while the limit is 0."""
        if self._rate is None:
            return 0.0
        self._count(now)
        missing = hashes - self._tokens
        if self._rate == 0:
            return float("inf")
        return max(0.0, missing / self._rate)

    def spend(self, hashes: int, now: float) -> None:
        """Note that `hashes` are done, which `wait` has allowed."""
        if self._rate is not None:
            self._count(now)
            self._tokens -= hashes

    @property
    def _most(self) -> float:
        return self.slice + self._usual * SPARE_SECONDS

    def _count(self, now: float) -> None:
        if self._rate:  # while it is 0, the tokens stay as they are
            self._tokens = min(self._most, self._tokens + self._rate * (now - self._at))
        self._at = now
