"""The threads that run methods. Few are best while methods are quick; more are started when all wait for something."""

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

import structlog

from api.door.limits import MAX_WAITING

_log = structlog.get_logger(__name__)

# Threads that are always there. A third does not make quick methods quicker: one thread of Python runs at a time.
_THREADS = 2
# Seconds after which more threads are started, if requests wait and none was finished meanwhile.
_STUCK_SECONDS = 0.02
# Seconds without work after which such a thread ends.
_IDLE_SECONDS = 10.0


class Job(Protocol):
    """One request: `run` in a thread, then `finish` in the event loop."""

    def run(self) -> None: ...

    def finish(self) -> None: ...


class Pool:
    """The threads of one event loop. Its methods are called from the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, most: int) -> None:
        """`most`: how many threads there may be."""
        self._loop = loop
        self._most = max(_THREADS, most)
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()  # None: a thread ends
        self._done: deque[Job] = deque()
        self._lock = threading.Lock()
        self._count = 0
        self._finished = 0  # jobs since the beginning
        self._unfinished = 0  # jobs that wait or run
        self._waking = False
        self._looking = False
        for _ in range(_THREADS):
            self._start(self._run_always)

    def submit(self, job: Job) -> bool:
        """Have a job run; False if too many wait already."""
        if self._jobs.qsize() >= MAX_WAITING:
            return False
        self._jobs.put(job)
        self._unfinished += 1
        if not self._looking and self._unfinished > self._count:
            self._look_later()
        return True

    @property
    def threads(self) -> int:
        return self._count

    def close(self) -> None:
        """End the threads, each once it has finished its job."""
        for _ in range(self._count):
            self._jobs.put(None)

    def _look_later(self) -> None:
        self._looking = True
        self._loop.call_later(_STUCK_SECONDS, self._look, self._finished)

    def _look(self, finished: int) -> None:
        """Start threads for the jobs that wait, if all threads have been waiting since the last look."""
        self._looking = False
        waiting = self._jobs.qsize()
        if not waiting:
            return  # the next submit looks again
        if self._finished == finished:
            for _ in range(min(waiting, self._most - self._count)):
                self._start(self._run_while_needed)
        self._look_later()

    def _start(self, work: Callable[[], None]) -> None:
        with self._lock:
            self._count += 1
        threading.Thread(target=work, name="rpc", daemon=True).start()

    def _run_always(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._do(job)

    def _run_while_needed(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                with self._lock:
                    self._count -= 1
                return
            if job is None:
                return
            self._do(job)

    def _do(self, job: Job) -> None:
        try:
            job.run()
        except Exception as error:  # a bug: methods turn their errors into answers
            _log.exception("bug", error=type(error).__name__)
        self._done.append(job)
        if not self._waking:
            self._waking = True
            try:
                self._loop.call_soon_threadsafe(self._flush)
            except RuntimeError:  # the loop has ended
                return

    def _flush(self) -> None:
        """Finish what is done. The flag falls first: a job that is done from now on wakes the loop again."""
        self._waking = False
        while self._done:
            job = self._done.popleft()
            self._finished += 1
            self._unfinished -= 1
            try:
                job.finish()
            except Exception as error:  # a bug; the other connections get their answers
                _log.exception("bug", error=type(error).__name__)
