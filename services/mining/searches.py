"""Searches: what a mining worker does in a round. It claims, reports, and hands in the proofs that it finds.

Walk: `claim` (a range of proofs) → the worker scans it → `hand_in` → the desk of the node makes the block
(services/mining/desk.py). A worker makes no template and appends no block: it may not, by the access rules of its user.
"""

from services.mining.policy import MiningPolicy
from services.ports import Ports
from services.store.events import Watch
from services.store.inbox import FoundProof
from services.store.searches import Claim, Report, Searched, SearchStore, Times
from services.system import tracing

# After this long a template is made anew, with a fresh timestamp and the transactions that have arrived since.
REFRESH_SECONDS = 30.0
# The same where a round is always open and transactions have arrived: Bitcoin Core's getblocktemplate waits as long.
ARRIVAL_SECONDS = 5.0
# A searching worker reports at least this often.
HEARTBEAT_SECONDS = 3.0
# Times the difficulty: this many proofs contain a valid one with a probability of 86 %.
ENOUGH = 2


class Searches:
    """The rounds of one node, as its mining workers search them."""

    def __init__(self, policy: MiningPolicy, store: SearchStore, ports: Ports) -> None:
        self._policy = policy
        self._store = store
        self._clock = ports.clock
        self._queue = ports.queue

    def open_round(self) -> str:
        """The id of the round that is open; "" if there is none."""
        return self._store.open_round()

    def is_open(self, round_id: str) -> bool:
        """Whether a round is open."""
        return self._store.is_open(round_id)

    def trace_of(self, round_id: str) -> str:
        """The trace in which a round was opened; "" where there is none, or this process does not trace."""
        return self._store.trace_of(round_id) if tracing.is_on() else ""

    def watch(self) -> Watch:
        """A watch that notices events from now on. The caller closes it."""
        return self._store.events.watch()

    def claim(
        self,
        round_id: str,
        worker: str,
        wanted: int,
        searched: Searched,
        *,
        if_needed: bool = False,
        demand: float = 1e12,
    ) -> Claim | None:
        """Report what was searched and take the next `wanted` proofs. None: the round has ended.

        If the tip has moved or the template is old, the claim is empty and `is_old`: the node is called to give the
        round a new template. Where a round is always open, arrived transactions make a template old sooner: no request
        and no short round brings them in.

        Args:
            if_needed: for a worker that has nothing to report. If the proofs that other workers hold most likely
                suffice, the claim is empty: one more worker would only compete with them for the processor.
            demand: hashes per second that the worker can do. Under a hash-rate limit the claim says how many it may do;
                if other workers still hold its share, the claim is empty.
        """
        now = self._clock.now()
        arrival_seconds = ARRIVAL_SECONDS if self._policy.never_idle else 0
        times = Times(now, now + HEARTBEAT_SECONDS, REFRESH_SECONDS, arrival_seconds)
        outcome = self._store.claim(
            round_id, Report(worker, searched), wanted, times, ENOUGH if if_needed else 0, demand
        )
        if outcome == "stale":
            return Claim(round_id, "", b"", 1, range(0), is_old=True)
        return outcome if isinstance(outcome, Claim) else None

    def report(self, round_id: str, worker: str, searched: Searched) -> bool:
        """Report what was searched without taking more. Returns whether the round is still open.

        The worker counts as searching for HEARTBEAT_SECONDS more, so that opening the next round calls no other worker
        in its place.
        """
        now = self._clock.now()
        times = Times(now, now + HEARTBEAT_SECONDS, REFRESH_SECONDS)
        return self._store.claim(round_id, Report(worker, searched), 0, times) != "ended"

    def linger(self, worker: str, seconds: float) -> None:
        """Note that `worker` does not search now, but takes part in a round that opens within `seconds`."""
        self._store.linger(worker, self._clock.now() + seconds)

    def leave(self, worker: str) -> str:
        """Note that `worker` neither searches nor lingers any more.

        Returns:
            the id of a round that may have no worker: it is open, and who opened it may have counted this one. Else "".
        """
        counted_until = self._store.leave(worker)
        return self._store.open_round() if counted_until > self._clock.now() else ""

    def hand_over(self, round_id: str) -> None:
        """Enqueue a search job in place of the caller, which leaves while the round may still be open."""
        found = self._store.round(round_id)
        if found is not None and found.is_open:
            self._queue.enqueue_search(self._policy.node, round_id, found.height, 1)

    def hand_in(self, claim: Claim, proof: int, worker: str, searched: Searched) -> bool:
        """Report what was searched, and hand in the proof that was found. The node makes the block.

        A proof for a template that was renewed while the tip stayed counts as well. False: it is of no use, since the
        round has ended, or too many wait already.
        """
        if not self.report(claim.round_id, worker, searched):
            return False
        return self._store.hand_in(FoundProof(claim.round_id, claim.version, proof, worker))
