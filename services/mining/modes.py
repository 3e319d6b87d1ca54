"""When a node mines by itself: whenever a transaction waits, every so many seconds, both, or never.

The settings say it when the node starts. Control methods change it until the next start, for all processes at once,
since what they set is in the store.
"""

from services.errors import PolicyError
from services.mining.policy import MiningPolicy
from services.mining.rounds import Rounds
from services.ports import Clock, Randomness
from services.store.modes import ModesStore


class MiningModes:
    """The mining modes of one node."""

    def __init__(
        self,
        policy: MiningPolicy,
        store: ModesStore,
        rounds: Rounds,
        clock: Clock,
        randomness: Randomness,
        *,
        may_change: bool,
        block_interval: int,
    ) -> None:
        """
        Args:
            may_change: whether control methods exist here. Elsewhere the store is not asked.
            block_interval: the spec's.
        """
        self._policy = policy
        self._store = store
        self._rounds = rounds
        self._clock = clock
        self._randomness = randomness
        self._may_change = may_change
        self._block_interval = block_interval

    def automine(self) -> bool:
        """Whether a waiting transaction opens a round."""
        chosen = self._store.read().automine if self._may_change else None
        return self._policy.automine if chosen is None else chosen

    def interval(self) -> float:
        """Seconds between two blocks that the ticker asks for; 0: none."""
        chosen = self._store.read().interval if self._may_change else None
        return self._policy.block_time if chosen is None else chosen

    def set_automine(self, on: bool) -> None:
        """Switch auto-mining on or off. An interval stays as it is: with both, mining is mixed."""
        self._store.choose(self._clock.now(), automine=on)
        if on:
            self._rounds.ensure_open()

    def set_interval(self, seconds: float) -> None:
        """Mine a block every so many seconds, the first when they are over; 0: no more. As in anvil, an interval
        switches auto-mining off.

        Raises:
            PolicyError: `paced_by_difficulty`, `no_reward_address`.
        """
        if seconds and self._block_interval:
            raise PolicyError(
                "paced_by_difficulty",
                f"On this chain the difficulty makes the time between blocks, {self._block_interval} s on average: a "
                "timer would leave the difficulty where it is.",
            )
        if seconds and not self._policy.recipient:
            raise PolicyError("no_reward_address", "This node does not mine: it has no QUARRY_REWARD_ADDRESS.")
        self._store.choose(self._clock.now(), interval=seconds, automine=False if seconds else None)

    def begin(self) -> None:
        """Let the settings hold again: the node starts."""
        self._store.forget()

    def beat(self) -> float | None:
        """Ask for a block if the interval is over. Any number of tickers may do so.

        Returns:
            seconds after which the interval is over; None: there is no interval.
        """
        added, wait = self._store.beat(
            self._randomness.token(), self._clock.now(), self._policy.block_time, self._policy.max_requests
        )
        if added:
            self._rounds.ensure_open()
        return wait
