"""Mining on demand: some blocks now, by the ordinary mining requests and the node's own workers.

Walk: `mine` (a request per block, several of them ahead) → workers seal the blocks → each answers the oldest request.
"""

from collections import deque
from dataclasses import dataclass, field

from services.clocks import waiting_words
from services.development.clock import ChainClock
from services.errors import Busy, NotFound, PolicyError
from services.mining.requests import Requests
from services.mining.rounds import Rounds
from services.ports import Clock, Queue
from services.store.rounds import RequestStatus

# Blocks per call, and seconds that a call waits for all of them.
MOST_BLOCKS = 1000
MOST_SECONDS = 60.0
# Requests of one call that wait at once. Workers then go from block to block without waiting for the caller.
_AHEAD = 16
# Seconds between two checks whether there are workers.
_LOOK_SECONDS = 1.0


@dataclass(slots=True)
class _Order:
    """How far one call has come."""

    count: int  # blocks that were asked for
    done: int = 0  # of them mined
    left: float = MOST_SECONDS  # that the call may still wait
    blocks: list[str] = field(default_factory=list)  # hashes of those that were mined

    def failed(self, reason: str) -> PolicyError:
        mined = f"{self.done} of {self.count} {'block was' if self.count == 1 else 'blocks were'} mined"
        return PolicyError("not_mined", f"{reason}: {mined}.")


class MiningOnDemand:
    """Mines blocks for a developer's tests on one node."""

    def __init__(self, requests: Requests, rounds: Rounds, chain_clock: ChainClock, queue: Queue, clock: Clock) -> None:
        self._requests = requests
        self._rounds = rounds
        self._chain_clock = chain_clock
        self._queue = queue
        self._clock = clock

    def mine(self, count: int = 1, *, timestamp: int | None = None, interval: int = 0) -> list[str]:
        """Mine `count` blocks and return when they are on the chain. 0: nothing happens.

        Args:
            count: at most MOST_BLOCKS.
            timestamp: of the first block, Unix seconds; None: as the clock of the chain says.
            interval: seconds from each block's timestamp to the next one's, and from now to the first one's, unless a
                timestamp was set for it. 0: as the clock of the chain says. Not together with `timestamp`.

        Returns:
            the hashes of the blocks, oldest first.

        Raises:
            PolicyError: `no_reward_address`, `bad_time`; `not_mined`: too many blocks, no worker mines, or it takes too
                long. Blocks that were mined before stay.
            Busy: `too_many_requests`, `contended`.
            LedgerDiffers: the stored state is marked as wrong.
        """
        if count > MOST_BLOCKS:
            raise PolicyError("not_mined", f"At most {MOST_BLOCKS} blocks are mined by one call, not {count}.")
        self._requests.require_recipient()
        if not count:
            return []
        order = _Order(count)
        self._require_workers(order)
        until = self._rounds.waits_until()
        if until is not None:
            raise PolicyError("not_mined", waiting_words(until, self._clock.now()))
        if interval:
            self._mine_apart(order, interval)
            return order.blocks
        if timestamp is not None:
            self._chain_clock.set_next(timestamp)
        self._mine_together(order)
        return order.blocks

    def _mine_together(self, order: _Order) -> None:
        """Mine blocks as fast as the workers can."""
        waiting: deque[str] = deque()
        asked = 0
        while order.done < order.count:
            while asked < order.count and len(waiting) < _AHEAD:
                try:
                    waiting.append(self._requests.ask())
                except Busy:
                    if not waiting:
                        raise
                    break
                asked += 1
            self._await(waiting.popleft(), order)

    def _mine_apart(self, order: _Order, interval: int) -> None:
        """Mine blocks whose timestamps are `interval` seconds apart, one after the other."""
        asked = self._chain_clock.asked()
        timestamp = self._chain_clock.following() + interval if asked is None else asked
        while order.done < order.count:
            self._chain_clock.set_next(timestamp)
            self._await(self._requests.ask(), order)
            timestamp += interval

    def _await(self, request_id: str, order: _Order) -> None:
        """Wait until a block has answered a request."""
        while True:
            began = self._clock.now()
            try:
                answer = self._requests.wait(request_id, _LOOK_SECONDS)
            except NotFound:  # its record was pushed out by 10,000 others, so it was answered
                break
            if answer.status is RequestStatus.CANCELLED:
                raise order.failed("The round was cancelled")
            if not answer.is_waiting:
                order.left -= max(0.0, self._clock.now() - began)
                if answer.block is not None:
                    order.blocks.append(answer.block)
                break
            # The turn counts in full, so that a clock that is set back does not make the wait longer.
            order.left -= max(_LOOK_SECONDS, self._clock.now() - began)
            self._require_workers(order)
            if order.left <= 0:
                raise order.failed(f"It takes more than {MOST_SECONDS:.0f} s, and the requests still wait")
        order.done += 1

    def _require_workers(self, order: _Order) -> None:
        if self._queue.trouble().suspended:
            raise order.failed("The workers are suspended")
        if not self._queue.mining_workers():
            raise order.failed("No mining worker is alive")
