"""Requests of miners that arrive at nearly the same time: read, and answered in one round trip to the store, together.

A thousand miners send more than a thousand requests a second. Waking up for each, handing each to a thread, and sending
each to the store, cost more than all the rest. So at most one batch begins every PACE seconds: a request that comes
alone is answered at once, and under load it waits for less than PACE.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import structlog

from api.door.gathering import Gathering
from api.door.limits import MAX_WAITING
from api.door.pool import Pool
from api.leasing import PACE
from services.connections.servers import RedisError
from services.mining.leases import Asked, Handed, Leases

if TYPE_CHECKING:
    from api.door.http import HttpConnection
    from api.door.leases import Job

_log = structlog.get_logger(__name__)

# Requests of one batch. More go to the next one at once, so that another thread may take them.
MOST: Final = 64


class LoopBatches:
    """The requests that wait for the next batch. Its methods are called from the event loop."""

    def __init__(self, leases: Leases, pool: Pool, loop: asyncio.AbstractEventLoop) -> None:
        self._leases = leases
        self._pool = pool
        self._loop = loop
        self._waiting: deque[Job] = deque()
        self._began = -PACE  # when the last batch did, by the loop's clock
        self._planned = False
        self.gathering = Gathering(loop, self.plan)

    def add(self, job: "Job") -> bool:
        """Have a request answered with the next batch; False if too many wait already."""
        if len(self._waiting) >= MAX_WAITING:
            return False
        self._waiting.append(job)
        self.plan()
        return True

    def gather(self, connection: "HttpConnection", descriptor: int) -> bool:
        """Read a connection, which asyncio does not read any more, with the others; False if that cannot be."""
        if not self.gathering.add(connection, descriptor):
            return False
        self.plan()  # a look at what has arrived, after which more is told
        return True

    def plan(self) -> None:
        """Have what has arrived, or arrives until then, read and answered once PACE has passed since the last batch."""
        if not self._planned:
            self._planned = True
            self._loop.call_at(self._began + PACE, self._begin)

    def _begin(self) -> None:
        self._began = self._loop.time()
        more = self.gathering.read()  # which adds jobs
        self._planned = False
        if more:
            self.plan()  # under load the next batch is planned, which saves being told that something has arrived
        else:
            self.gathering.watch()
        while self._waiting:
            jobs = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
            if not self._pool.submit(Batch(self._leases, self._pool, jobs)):
                for job in jobs:
                    job.refuse_busy()


class Batch:
    """Some requests: answered in a thread, sent in the event loop."""

    def __init__(self, leases: Leases, pool: Pool, jobs: Sequence["Job"]) -> None:
        self._leases = leases
        self._pool = pool
        self._jobs = jobs
        self._alone: list[Job] = []  # that need more than the one round trip

    def run(self) -> None:
        """Make the answers. A request that cannot be answered costs the others nothing."""
        asked: list[Asked | Handed] = []
        asking: list[Job] = []
        for job in self._jobs:
            try:
                each = job.read()
            except Exception as error:
                self._failed([job], error)
                continue
            if each is not None:
                asked.append(each)
                asking.append(job)
        try:
            found = self._leases.each(asked)
        except RedisError as error:
            for job in asking:
                job.answer(error)
        except Exception as error:
            self._failed(asking, error)
        else:
            for job, outcome in zip(asking, found, strict=True):
                if outcome is None:
                    self._alone.append(job)
                else:
                    job.answer(outcome)

    def finish(self) -> None:
        """Send the answers that are made, and have the others made one by one."""
        alone = set(self._alone)
        for job in self._jobs:
            if job not in alone:
                job.finish()
            elif not self._pool.submit(job):
                job.refuse_busy()

    def _failed(self, jobs: Sequence["Job"], error: Exception) -> None:
        _log.exception("bug", error=type(error).__name__)
        for job in jobs:
            job.answer(error)
