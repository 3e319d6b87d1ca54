"""Resolving on demand: one run of the resolver answers all requests that were made before it began."""

from services.jobs.queues import ANSWER
from services.peers.resolver import Resolver
from services.ports import Clock, Queue
from services.store.resolutions import Answer, ResolutionStore

# Seconds.
_LOOK_EVERY = 0.1
_ASK_AGAIN = 5


class Consensus:
    """Resolving on demand, for callers that wait for the outcome."""

    def __init__(self, node: str, store: ResolutionStore, resolver: Resolver, queue: Queue, clock: Clock) -> None:
        self._node = node
        self._store = store
        self._resolver = resolver
        self._queue = queue
        self._clock = clock

    def ask(self, seconds: float) -> Answer | None:
        """Have a network worker resolve, and wait for its answer; None if that takes longer than `seconds`."""
        number = self._store.ask()
        left, asked = seconds, ""
        while True:
            done, now = self._store.done(), self._clock.now()
            if done is not None and done.number >= number:
                return done
            # All callers that wait for the same run share one job. If it is lost, another is enqueued.
            job = f"answer-{self._node}-{done.number if done else 0}-{int(now // _ASK_AGAIN)}"
            if job != asked:
                self._queue.enqueue_network(ANSWER, self._node, job, str(number))
                asked = job
            if left <= 0:
                return None
            self._clock.sleep(_LOOK_EVERY)
            # Each turn counts in full, so that a clock that is set back in between does not make the wait longer.
            left -= max(_LOOK_EVERY, self._clock.now() - now)

    def answer(self, number: int) -> bool:
        """Answer all requests so far by one run, unless a run that began after request `number` has answered it.

        Returns:
            whether our chain changed.
        """
        done = self._store.done()
        if done is not None and done.number >= number:
            return done.replaced
        asked = self._store.asked() or number
        resolution = self._resolver.resolve()
        done = self._store.done()
        if done is None or done.number < asked:  # a run that began later may have ended first
            self._store.finish(Answer(asked, resolution.replaced))
        return resolution.replaced
