"""Resolving on demand: many may ask at once, one run answers all who asked before it began."""

from services.jobs.queues import ANSWER
from services.peers.resolver import Resolver
from services.ports import Clock, Queue
from services.store.resolutions import Answer, ResolutionStore

# Seconds.
_LOOK_EVERY = 0.1
_ASK_AGAIN = 5


class Consensus:
    """The door to the resolver for people who wait."""

    def __init__(self, node: str, store: ResolutionStore, resolver: Resolver, queue: Queue, clock: Clock) -> None:
        self._node = node
        self._store = store
        self._resolver = resolver
        self._queue = queue
        self._clock = clock

    def ask(self, seconds: float) -> Answer | None:
        """Have a network worker resolve, and wait for it; None when that takes longer than `seconds`."""
        number = self._store.ask()
        left, asked = seconds, ""
        while True:
            done, now = self._store.done(), self._clock.now()
            if done is not None and done.number >= number:
                return done
            # One job for all who wait for the same run, however many; another where it was lost.
            job = f"answer-{self._node}-{done.number if done else 0}-{int(now // _ASK_AGAIN)}"
            if job != asked:
                self._queue.enqueue_network(ANSWER, self._node, job, str(number))
                asked = job
            if left <= 0:
                return None
            self._clock.sleep(_LOOK_EVERY)
            # Turn by turn: a clock that is set back meanwhile must not make anybody wait for hours.
            left -= max(_LOOK_EVERY, self._clock.now() - now)

    def answer(self, number: int) -> bool:
        """Resolve for all who asked so far, unless that was done since request `number`; whether our chain changed."""
        done = self._store.done()
        if done is not None and done.number >= number:
            return done.replaced
        asked = self._store.asked() or number
        resolution = self._resolver.resolve()
        done = self._store.done()
        if done is None or done.number < asked:  # a run that began later may have ended earlier
            self._store.finish(Answer(asked, resolution.replaced))
        return resolution.replaced
