"""The search job: take part in rounds until there is nothing more to search."""

import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from services.errors import TipMoved
from services.jobs.queues import SEARCH_SECONDS
from services.mining.rounds import Rounds
from services.registry import Unserved
from services.store.events import Watch
from services.store.mining import Claim, MiningStore, Searched
from worker import context
from worker.claims import GIVE_UP_SECONDS, ClaimSize
from worker.kernel import Kernel

_log = structlog.get_logger(__name__)

# Where another node's search waits for a worker, this one hands over after so long, and lingers no longer than this.
TURN_SECONDS = 5.0
_LOOK_SECONDS = 0.5
# How often a worker that rests looks whether somebody asked for a block.
_REST_LOOK_SECONDS = 0.005
# How long a worker that is not needed in a round leaves it to the others: some round trips.
PATIENCE_SECONDS = 0.02
# A worker that refuses a job stays away from the queue this long, so that another may take it.
REFUSAL_SECONDS = 2.0


def search(node: str, round_id: str) -> int:
    """Search round `round_id` of `node` and those that follow it; how many blocks were found.

    Safe to run twice and beside itself: claims never overlap, and only the first proof of a round counts. Whatever
    kills it costs its current claim and nothing else.
    """
    here = context.current()
    structlog.contextvars.bind_contextvars(node=node, worker=here.worker_name)
    try:
        served = context.begun(node)
    except Unserved as error:
        _log.error("search_refused", reason=str(error))
        here.hand_back(node, round_id, REFUSAL_SECONDS)
        return 0
    if served is None:
        return 0
    rounds, chain = served.rounds, served.chain

    def prepare() -> None:
        with suppress(TipMoved):
            chain.window(chain.tip())

    return _Search(rounds, served.mining, here, served.settings.linger, prepare).run(round_id)


class _Search:
    def __init__(
        self,
        rounds: Rounds,
        store: MiningStore,
        here: context.Context,
        linger: float,
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        """`prepare` reads ahead, while there is time, what sealing the next block will need."""
        self._rounds = rounds
        self._store = store
        self._here = here
        self._kernel: Kernel = here.kernel
        self._name = here.worker_name
        self._linger = linger
        self._prepare = prepare
        self._size = ClaimSize(here.speed)
        self._found = 0

    def run(self, first: str) -> int:
        started = time.monotonic()
        current: str | None = first
        self._watch: Watch = self._store.events.watch()
        try:
            while current is not None and not self._here.stopping and not self._turn_is_over(started):
                self._search(current, started)
                current = self._next()
        finally:
            self._watch.close()
            self._store.leave(self._name)
        if current is None:
            # What was admitted since the last look has relied on this job.
            self._rounds.ensure_open()
        elif not self._here.stopping:
            self._rounds.hand_over(current)  # the time is up, the round is not: a fresh job takes over
        return self._found

    def _turn_is_over(self, started: float) -> bool:
        spent = time.monotonic() - started
        return spent > SEARCH_SECONDS or (spent > TURN_SECONDS and self._here.searches_waiting() > 0)

    def _search(self, round_id: str, started: float) -> None:
        """Claim and scan ranges of proofs until the round ends."""
        searched, fresh = Searched(), True
        self._size.begin()
        while not self._here.stopping and not self._turn_is_over(started):
            claim = self._rounds.claim(round_id, self._name, self._size.proofs, searched, if_needed=fresh)
            fresh = False
            if claim is None:  # sealed or cancelled
                return
            if not claim.proofs:  # others are about to find it; if they have died, we shall see soon
                self._watch.wait(PATIENCE_SECONDS)
                continue
            proof, searched = self._scan(claim)
            if proof is not None:
                if self._rounds.report(round_id, self._name, searched) and self._rounds.seal(claim, proof, self._name):
                    self._found += 1
                    return
                searched = Searched()
        self._rounds.report(round_id, self._name, searched)

    def _scan(self, claim: Claim) -> tuple[int | None, Searched]:
        """Scan one claim slice by slice up to its first proof; the proof, and what was done.

        The rest of a claim is left for good when anything happens to the round or the tip.
        """
        began, done = time.monotonic(), 0
        start, stop = claim.proofs.start, claim.proofs.stop
        while start < stop:
            end = min(stop, start + self._size.slice)
            slice_began = time.perf_counter()
            proof = self._kernel.scan(claim.prefix, claim.difficulty, start, end)
            hashes = end - start if proof is None else proof - start + 1
            self._size.learn(hashes, time.perf_counter() - slice_began, claim.difficulty)
            done += hashes
            if proof is not None:
                return proof, Searched(claim.version, done)
            start = end
            if self._here.stopping or time.monotonic() - began > GIVE_UP_SECONDS or self._watch.news():
                break
        return None, Searched(claim.version, done)

    def _rest(self) -> None:
        """Let transactions gather after a round; whoever asks for a block meanwhile does not wait."""
        while (rest := self._rounds.rest()) > 0 and not self._here.stopping:
            until = time.monotonic() + rest
            while (left := until - time.monotonic()) > 0 and not self._watch.news():
                time.sleep(min(left, _REST_LOOK_SECONDS))

    def _next(self) -> str | None:
        """The next round, if one is open or opens while this job lingers: that spares the next one a fork."""
        until = time.monotonic() + self._linger
        told = False
        self._rest()
        while not self._here.stopping:
            self._watch.news()  # from here on; what was before, `ensure_open` sees
            open_round = self._rounds.ensure_open()
            left = until - time.monotonic()
            if open_round is not None or left <= 0:
                return open_round
            if not told:
                self._rounds.linger(self._name, left)
                self._prepare()
                told = True
            happened = self._watch.wait(min(left, _LOOK_SECONDS))
            if self._watch.opened:  # most likely still open; if not, the claim will tell
                return self._watch.opened
            if not happened and self._here.searches_waiting() > 0:
                return None
        return None
