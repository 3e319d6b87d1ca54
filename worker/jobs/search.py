"""The search job: take part in rounds until there is nothing more to search."""

import time

import structlog

from services.queues import SEARCH_SECONDS
from services.rounds import Rounds
from services.store.mining import Claim, MiningStore, Searched
from worker import context
from worker.claims import ClaimSize
from worker.kernel import Kernel

_log = structlog.get_logger(__name__)


def search(node: str, round_id: str) -> int:
    """Search round `round_id` of `node` and those that follow it; how many blocks were found.

    Safe to run twice and beside itself: claims never overlap, and only the first proof of a round counts. Whatever
    kills it costs its current claim and nothing else.
    """
    here = context.current()
    served = here.node(node)
    structlog.contextvars.bind_contextvars(node=node, worker=here.worker_name)
    with_rounds = _Search(served.rounds, served.mining, here, served.settings.linger)
    return with_rounds.run(round_id)


class _Search:
    def __init__(self, rounds: Rounds, store: MiningStore, here: context.Context, linger: float) -> None:
        self._rounds = rounds
        self._store = store
        self._here = here
        self._kernel: Kernel = here.kernel
        self._name = here.worker_name
        self._linger = linger
        self._size = ClaimSize(here.speed)
        self._found = 0

    def run(self, first: str) -> int:
        ends = time.monotonic() + SEARCH_SECONDS
        current: str | None = first
        try:
            while current is not None and not self._here.stopping and time.monotonic() < ends:
                self._search(current, ends)
                current = self._next()
        finally:
            self._store.leave(self._name)
        if current is not None and not self._here.stopping:
            self._rounds.reconcile()  # the time is up, the round is not: a fresh job takes over
        return self._found

    def _search(self, round_id: str, ends: float) -> None:
        """Claim and scan ranges of proofs until the round ends."""
        searched = Searched()
        while not self._here.stopping and time.monotonic() < ends:
            claim = self._rounds.claim(round_id, self._name, self._size.proofs, searched)
            if claim is None:  # sealed or cancelled
                return
            searched = self._scan(claim)
        self._rounds.report(round_id, self._name, searched)

    def _scan(self, claim: Claim) -> Searched:
        """Scan one claim, and seal the round with the first proof that completes a block."""
        started = time.perf_counter()
        proofs = claim.proofs
        proof = self._kernel.scan(claim.prefix, claim.difficulty, proofs.start, proofs.stop)
        done = len(proofs) if proof is None else proof - proofs.start + 1
        self._size.learn(done, time.perf_counter() - started, claim.difficulty)
        if proof is None:
            return Searched(claim.version, done)
        self._rounds.report(claim.round_id, self._name, Searched(claim.version, done))
        if self._rounds.seal(claim, proof, self._name) is not None:
            self._found += 1
        return Searched()

    def _next(self) -> str | None:
        """The next round, if one is open or opens while this job lingers: that spares the next one a fork."""
        until = time.monotonic() + self._linger
        while not self._here.stopping:
            seen = self._store.last_event()  # before looking, so that nothing happens unseen in between
            open_round = self._rounds.ensure_open()
            left = until - time.monotonic()
            if open_round is not None or left <= 0:
                return open_round
            self._rounds.linger(self._name, left)
            self._store.wait_for_event(seen, min(left, 0.5))
        return None
