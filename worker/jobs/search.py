"""The search job: take part in rounds until there is nothing more to search."""

import time

import structlog

from services.jobs.queues import SEARCH_SECONDS
from services.mining.pace import REPORT_SECONDS, Pace
from services.mining.searches import Searches
from services.registry import Unserved
from services.store.events import Watch
from services.store.searches import Claim, Searched
from services.system import tracing
from worker.claim_size import GIVE_UP_SECONDS, ClaimSize
from worker.context import Context, current_context

_log = structlog.get_logger(__name__)

# A search hands over after this long if another search job waits for a worker, and it lingers no longer than this.
TURN_SECONDS = 5.0
_LOOK_SECONDS = 0.5
# Seconds for which a worker that has handed in a proof, or found a template to be old, waits for the node to act.
NODE_SECONDS = 1.0
# Seconds before a worker that is not needed asks for a claim again: some round trips to the store.
PATIENCE_SECONDS = 0.02
# Seconds before a worker asks again for its share of a hash-rate limit, which others still hold.
SHARE_SECONDS = 0.1
# A worker under a limit looks this often whether it is told to stop: a signal does not end its wait for events.
_LONGEST_WAIT = 0.25
# Seconds for which a worker that refuses a job takes no other, so that another worker can take the job.
REFUSAL_SECONDS = 2.0


def search(name: str, round_id: str) -> int:
    """Search round `round_id` of the node `name` and the rounds that follow it; how many proofs were handed in.

    Safe to run twice, also at the same time: claims never overlap, and only the first proof of a round counts. If it is
    killed, only the work on its current claim is lost. It changes nothing but the search: the node makes templates and
    blocks.
    """
    context = current_context()
    structlog.contextvars.bind_contextvars(node=name, worker=context.worker_name)
    try:
        rounds, linger = context.searches(name)
    except Unserved as error:
        _log.error("search_refused", reason=str(error))
        context.hand_back(name, round_id, REFUSAL_SECONDS)
        return 0
    return _Search(rounds, context, linger).run(round_id)


class _Search:
    def __init__(self, rounds: Searches, context: Context, linger: float) -> None:
        self._rounds = rounds
        self._context = context
        self._kernel = context.kernel
        self._name = context.worker_name
        self._linger = linger
        self._size = ClaimSize(context.speed)
        self._cap = context.settings.hash_rate or None  # of this worker, whatever its node's limit is
        self._pace = Pace()
        self._pace.set(self._cap, time.monotonic())
        self._found = 0

    def run(self, first: str) -> int:
        started = time.monotonic()
        current: str | None = first
        self._watch: Watch = self._rounds.watch()
        try:
            while current is not None and not self._context.stopping and not self._turn_is_over(started):
                self._search(current, started)
                current = self._next(current)
        finally:
            self._watch.close()
            unserved = self._rounds.leave(self._name)
        left = current or unserved  # the time is up and the round is still open; or one was opened just now
        if left and not self._context.stopping:
            self._rounds.hand_over(left)
        return self._found

    def _turn_is_over(self, started: float) -> bool:
        spent = time.monotonic() - started
        return spent > SEARCH_SECONDS or (spent > TURN_SECONDS and self._context.searches_waiting() > 0)

    def _search(self, round_id: str, started: float) -> None:
        """Claim and scan ranges of proofs until the round ends."""
        with tracing.step("search", self._rounds.trace_of(round_id), worker=self._name):
            self._search_round(round_id, started)

    def _search_round(self, round_id: str, started: float) -> None:
        searched, fresh = Searched(), True
        self._size.begin()
        while not self._context.stopping and not self._turn_is_over(started):
            began = time.monotonic()
            claim = self._claim(round_id, searched, fresh)
            fresh = False
            if claim is None:  # sealed or cancelled
                self._pace.set(0, time.monotonic())  # the share is given back
                return
            if claim.is_old:  # the node renews the template, which is news
                searched = Searched()
                self._watch.news(NODE_SECONDS)
                continue
            if not claim.proofs:  # enough is claimed already; if those workers die, a later claim is not empty
                searched = Searched()
                self._watch.news(PATIENCE_SECONDS if claim.share is None else SHARE_SECONDS)
                continue
            with tracing.step("claim", first=str(claim.proofs.start), proofs=len(claim.proofs)):
                proof, searched = self._scan(claim, began)
            if proof is not None:
                with tracing.step("hand in"):
                    handed_in = self._rounds.hand_in(claim, proof, self._name, searched)
                self._found += handed_in
                if handed_in and self._is_sealed(round_id):
                    self._pace.set(0, time.monotonic())
                    return
                searched = Searched()
        self._rounds.report(round_id, self._name, searched)
        self._pace.set(0, time.monotonic())

    def _is_sealed(self, round_id: str) -> bool:
        """Wait for the node to make the block of a proof that was handed in. False: it does not; the search goes on."""
        until = time.monotonic() + NODE_SECONDS
        while (left := until - time.monotonic()) > 0 and not self._context.stopping:
            self._watch.news(min(left, _LONGEST_WAIT))
            if self._watch.opened not in ("", round_id) or not self._rounds.is_open(round_id):
                return True
        return False

    def _claim(self, round_id: str, searched: Searched, fresh: bool) -> Claim | None:
        """Report and claim as `Searches.claim`, and go by the share of the hash-rate limit that the claim brings."""
        wanted, speed = self._size.proofs, self._size.speed
        if self._pace.is_limited:
            wanted = min(wanted, self._pace.claim)
        if self._cap is not None:
            speed = min(speed, self._cap)
        claim = self._rounds.claim(round_id, self._name, wanted, searched, if_needed=fresh, demand=speed)
        if claim is not None:
            limits = [limit for limit in (self._cap, claim.share) if limit is not None]
            self._pace.set(min(limits, default=None), time.monotonic())
        return claim

    def _scan(self, claim: Claim, began: float) -> tuple[int | None, Searched]:
        """Scan one claim slice by slice up to its first proof; the proof, and what was done.

        When something happens to the round or the tip, the rest of the claim is abandoned. Under a limit each slice
        waits for its time, and the claim is soon given up for another, which renews the share.

        Args:
            began: monotonic seconds before the claim was asked for.
        """
        done, start, stop = 0, claim.proofs.start, claim.proofs.stop
        patience = REPORT_SECONDS if self._pace.is_limited else GIVE_UP_SECONDS
        while start < stop:
            end = min(stop, start + (self._pace.slice if self._pace.is_limited else self._size.slice))
            if not self._may_scan(end - start, began + patience):
                break
            slice_began = time.perf_counter()
            proof = self._kernel.scan(claim.prefix, claim.difficulty, start, end)
            hashes = end - start if proof is None else proof - start + 1
            self._size.learn(hashes, time.perf_counter() - slice_began, claim.difficulty)
            self._pace.spend(hashes, time.monotonic())
            done += hashes
            if proof is not None:
                return proof, Searched(claim.version, done)
            start = end
            if self._context.stopping or time.monotonic() - began > patience or self._watch.news():
                break
        return None, Searched(claim.version, done)

    def _may_scan(self, hashes: int, until: float) -> bool:
        """Wait until `hashes` may be done under the limit. False: something happened first, or it is too late.

        Args:
            until: monotonic seconds at which the claim is given up.
        """
        while (wait := self._pace.wait(hashes, now := time.monotonic())) > 0:
            left = until - now
            if left <= 0 or self._context.stopping or self._watch.news(min(wait, left, _LONGEST_WAIT)):
                return False
        return not self._pace.is_limited or now <= until

    def _next(self, ended: str) -> str | None:
        """The next round, if one is open or opens while this job lingers, which saves starting a process for it."""
        until = time.monotonic() + self._linger
        lingers = False
        while not self._context.stopping:
            self._watch.news()  # discard earlier events: the store says what they changed
            open_round = self._rounds.open_round()
            left = until - time.monotonic()
            if open_round or left <= 0:
                return open_round or None
            if not lingers:
                self._rounds.linger(self._name, left)
                lingers = True
            happened = self._watch.news(min(left, _LOOK_SECONDS))
            if self._watch.opened not in ("", ended):  # most likely still open; if not, the claim says so
                return self._watch.opened
            if not happened and self._context.searches_waiting() > 0:
                return None
        return None
