"""Mining requests: asking for a block, waiting for it, and cancelling the round that would have answered.

Walk: `ask` (a request waits, a round is open) → `wait` → the block that answers it, or the cancellation.
"""

from services.errors import Busy, NotFound, PolicyError
from services.mining.policy import MiningPolicy
from services.mining.rounds import Rounds
from services.ports import Clock, Randomness
from services.store.mining import MiningStore
from services.store.rounds import MiningRequest


class Requests:
    """The mining requests of one node."""

    def __init__(
        self, policy: MiningPolicy, store: MiningStore, rounds: Rounds, clock: Clock, randomness: Randomness
    ) -> None:
        self._policy = policy
        self._store = store
        self._rounds = rounds
        self._clock = clock
        self._randomness = randomness

    def require_recipient(self) -> None:
        """Raises: PolicyError (`no_reward_address`)."""
        if not self._policy.recipient:
            raise PolicyError("no_reward_address", "This node does not mine: it has no QUARRY_REWARD_ADDRESS.")

    def ask(self) -> str:
        """Queue one mining request and make sure that a round is open. Returns the request's id.

        Raises:
            PolicyError: `no_reward_address`, `not_a_sealer`.
            Busy: `too_many_requests`.
            LedgerDiffers: the stored state is marked as wrong.
        """
        self.require_recipient()
        self._rounds.templates.require_sealer()
        request_id = self._randomness.token()
        if not self._store.add_request(request_id, self._clock.now(), self._policy.max_requests):
            raise Busy("too_many_requests", f"{self._policy.max_requests} mining requests are waiting already.")
        self._rounds.ensure_open()
        return request_id

    def wait(self, request_id: str, seconds: float) -> MiningRequest:
        """The state of a request, once it is answered or `seconds` have passed.

        Raises:
            NotFound: there is no such request, or it has expired.
        """
        left = seconds
        while True:
            found = self._store.request(request_id)
            if found is None:
                raise NotFound("There is no such job.")
            if not found.is_waiting or left <= 0:
                return found
            began, turn = self._clock.now(), min(left, 1.0)
            self._store.wait_for_answer(request_id, turn)
            # Each turn counts in full, so that a clock that is set back in between does not make the wait longer.
            left -= max(turn, self._clock.now() - began)

    def cancel(self, round_id: str) -> None:
        """Cancel an open round, and the request that it would have answered.

        Raises:
            NotFound: there is no such round.
        """
        if self._store.cancel(round_id, self._clock.now()) is None:
            raise NotFound("There is no such round.")
        self._rounds.ensure_open()

    def withdraw(self, request_id: str) -> MiningRequest:
        """Cancel one request, if it still waits, and the open round if no other request does; the request after that.

        Auto-mining goes on: it opens another round if transactions wait.

        Raises:
            NotFound: there is no such request, or it has expired.
        """
        self._store.withdraw([request_id], self._clock.now())
        self._rounds.ensure_open()
        return self.wait(request_id, 0.0)

    def withdraw_all(self) -> int:
        """Cancel every request and the open round. Auto-mining opens no other round on this tip.

        Returns:
            how many requests were cancelled.
        """
        cancelled = self._store.withdraw(None, self._clock.now(), holds=True)
        self._rounds.ensure_open()
        return cancelled
