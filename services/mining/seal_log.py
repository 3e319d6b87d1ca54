"""The log lines about blocks that this process sealed."""

import structlog

from services.chain.accept import Accepted
from services.ports import Clock

_log = structlog.get_logger(__name__)

# Least seconds between two lines about sealed blocks.
QUIET_SECONDS = 10.0


class SealLog:
    """Logs sealed blocks, at most one line in ten seconds: a development chain may seal four blocks a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._logged_at = 0.0
        self._skipped = 0  # blocks since then

    def accepted(self, accepted: Accepted) -> None:
        """Log a block that was accepted, if this process sealed it."""
        if accepted.sealed_by is None:
            return
        block = accepted.block
        now = self._clock.now()
        if 0 <= now - self._logged_at < QUIET_SECONDS:
            self._skipped += 1
        else:
            more = {"since_last": self._skipped + 1} if self._skipped else {}
            _log.info("block_sealed", height=block.index, hash=block.hash, worker=accepted.sealed_by.worker, **more)
            self._logged_at, self._skipped = now, 0
        _log.debug("transactions_mined", height=block.index, ids=[item.id for item in block.transactions])
