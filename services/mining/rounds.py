"""Rounds: the search for one block's proof, by any number of workers.

Walk: `ask` (a request waits) → `ensure_open` (a template, a round, search jobs) → workers `claim` ranges of proofs →
`seal` (the block is appended, the oldest request answered) → the next round, if anything waits.
"""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from services.chain.accept import Accepted, Acceptor
from services.errors import Busy, LedgerDiffers, NotFound, PolicyError, TipMoved
from services.mempool.admission import Mempool
from services.mining.templates import TemplateMaker
from services.ports import Clock, Queue, Randomness
from services.store.chain import SealedBy
from services.store.mining import Claim, MiningStore, Searched
from services.store.rounds import MiningRequest
from shared.block import Block
from shared.errors import TooEarly
from shared.rules import Rules

_log = structlog.get_logger(__name__)

# A template gets a fresh timestamp and what has arrived since, even while nobody finds its proof.
REFRESH_SECONDS = 30.0
# A searching worker says so at least this often.
HEARTBEAT_SECONDS = 3.0
_ATTEMPTS = 20
# Making and appending a block costs some milliseconds, however little is in it. So auto-mining rests after a block in
# proportion to what it held: one transaction alone is mined at once, and a stream of them fills blocks.
REST_PER_TRANSACTION = 0.002
LONGEST_REST = 0.1
# Times the difficulty: so many proofs in the hands of others contain a valid one with a probability of 86 %.
ENOUGH = 2
# Between two lines in the log about blocks that this process sealed.
QUIET_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class RoundPolicy:
    """How one node mines."""

    node: str
    recipient: str  # of the rewards
    automine: bool
    max_requests: int


class Rounds:
    """The rounds of one node."""

    def __init__(
        self,
        policy: RoundPolicy,
        store: MiningStore,
        templates: TemplateMaker,
        acceptor: Acceptor,
        mempool: Mempool,
        rules: Rules,
        queue: Queue,
        clock: Clock,
        randomness: Randomness,
        on_block: Callable[[Accepted], None],
    ) -> None:
        self.policy = policy
        self.store = store
        self._templates = templates
        self._acceptor = acceptor
        self._mempool = mempool
        self._rules = rules
        self._queue = queue
        self._clock = clock
        self._randomness = randomness
        self._on_block = on_block
        self._said_at, self._unsaid = 0.0, 0

    # --- for the API and the ticker ---

    def ask(self) -> str:
        """Queue one mining request and see to it that a round is open; the request's id.

        Raises:
            PolicyError: `no_reward_address`.
            Busy: `too_many_requests`.
            LedgerDiffers: the stored state is marked as wrong.
        """
        if not self.policy.recipient:
            raise PolicyError("no_reward_address", "This node does not mine: it has no QUARRY_REWARD_ADDRESS.")
        request_id = self._randomness.token()
        if not self.store.add_request(request_id, self._clock.now(), self.policy.max_requests):
            raise Busy("too_many_requests", f"{self.policy.max_requests} mining requests are waiting already.")
        self.ensure_open()
        return request_id

    def waits_until(self) -> float | None:
        """Unix seconds until which no block can be made, since the last ones lie too far in the future; None: they
        do not. Then mining goes on by itself.
        """
        for _ in range(_ATTEMPTS):
            try:
                opens = self._templates.opens_at()
                return opens if opens > self._clock.now() else None
            except TipMoved:
                continue
        return None

    def ensure_open(self) -> str | None:
        """Open a round and ask workers to search, if one is wanted; the id of the open round.

        None is opened while any block would be too early (`waits_until`): the reconciler looks again. None is while the
        stored state is marked as wrong. Else a round is wanted while a mining request waits, and, with auto-mining,
        while a template would hold a transaction besides the reward.
        """
        for _ in range(_ATTEMPTS):
            situation = self.store.situation()
            if situation.differs:
                return None
            if situation.open_round:
                return situation.open_round
            wanted = situation.requests > 0
            automine = (
                self.policy.automine
                and bool(self.policy.recipient)
                and situation.pool_size > 0
                and situation.held != situation.tip
            )
            if not wanted and not automine:
                return None
            try:
                opened = self._open(self._randomness.token(), "0", situation.tip, empty=wanted)
            except TipMoved:
                continue  # by a block that answered the request, perhaps: then nothing more is wanted
            except TooEarly:
                return None
            if opened is None:
                return None
            self.call_workers(*opened)
            return opened[0]
        return None

    def call_workers(self, round_id: str, height: int) -> None:
        """Enqueue a search job for every mining worker that is not searching already; one at least if none is."""
        searching = self.store.searchers(self._clock.now())
        copies = self._queue.mining_workers() - searching
        if copies > 0 or searching == 0:
            self._queue.enqueue_search(self.policy.node, round_id, height, max(copies, 1))

    def reconcile(self) -> None:
        """Bring back what a lost job, a killed worker or an emptied broker has left undone."""
        round_id = self.ensure_open()
        if round_id is None or self.store.searchers(self._clock.now()):
            return
        found = self.store.round(round_id)
        if found is not None:
            self._queue.enqueue_search(self.policy.node, round_id, found.height, max(self._queue.mining_workers(), 1))

    def cancel(self, round_id: str) -> None:
        """Cancel an open round, and the request that it would have answered.

        Raises:
            NotFound: there is no such round.
        """
        state = self.store.cancel(round_id, self._clock.now())
        if state is None:
            raise NotFound("There is no such round.")
        self.ensure_open()

    # --- for the search job ---

    def claim(
        self, round_id: str, worker: str, wanted: int, searched: Searched, *, if_needed: bool = False
    ) -> Claim | None:
        """Report what was searched and take the next `wanted` proofs. None: the round has ended.

        Where the tip has moved or the template is old, the round first gets a new template.

        Args:
            if_needed: for a worker that has nothing to report: take none, and get an empty claim, where what others
                hold will most likely do. One more worker would only be in their way, and in the way of the block.
        """
        report = searched
        for _ in range(_ATTEMPTS):
            now = self._clock.now()
            outcome = self.store.claim(
                round_id,
                worker,
                wanted,
                report,
                now,
                REFRESH_SECONDS,
                now + HEARTBEAT_SECONDS,
                ENOUGH if if_needed else 0,
            )
            if isinstance(outcome, Claim):
                return outcome
            if outcome == "ended":
                return None
            report = Searched()
            self._renew(round_id)
        return None

    def report(self, round_id: str, worker: str, searched: Searched) -> bool:
        """Report what was searched without taking more; whether the round is still open.

        The worker still counts as searching for a while, or whoever opens the next round would call another.
        """
        now = self._clock.now()
        return self.store.claim(round_id, worker, 0, searched, now, REFRESH_SECONDS, now + HEARTBEAT_SECONDS) != "ended"

    def rest(self) -> float:
        """Seconds that auto-mining should rest, before it opens another round; 0 while one is open, or if somebody
        asked for a block.
        """
        situation = self.store.situation()
        if not self.policy.automine or situation.requests or situation.open_round:
            return 0.0
        sealed_at, transactions = self.store.last_seal()
        rest = min(LONGEST_REST, REST_PER_TRANSACTION * transactions)
        # Another machine's clock may have written the time.
        return max(0.0, min(rest, sealed_at + rest - self._clock.now()))

    def linger(self, worker: str, seconds: float) -> None:
        """Tell that `worker` searches nothing now, but will look at a round that opens within `seconds`."""
        self.store.linger(worker, self._clock.now() + seconds)

    def hand_over(self, round_id: str) -> None:
        """Ask for one worker in place of the caller, who leaves an open round."""
        found = self.store.round(round_id)
        if found is not None and found.is_open:
            self._queue.enqueue_search(self.policy.node, round_id, found.height, 1)

    def seal(self, claim: Claim, proof: int, worker: str) -> Accepted | None:
        """Make the block that `proof` completes and append it. None: another block was first, or our clock was set
        back since the template was made, and the round goes on with a new template or has ended.
        """
        found = self.store.template(claim.round_id)
        if found is None or found[0] != claim.version:
            return None
        block = self._rules.read_block(found[1].with_proof(proof))
        try:
            accepted = self._acceptor.accept(block, SealedBy(claim.round_id, worker))
        except TipMoved:
            return None
        except TooEarly:
            self._renew(claim.round_id)  # or the next proof of the same template would fail likewise
            return None
        except LedgerDiffers as error:
            _log.error("seal_refused", reason=str(error))
            return None
        self._say_sealed(block, worker)
        _log.debug("transactions_mined", height=block.index, ids=[item.id for item in block.transactions])
        self._on_block(accepted)
        return accepted

    def _say_sealed(self, block: Block, worker: str) -> None:
        """A line for a block, but no more than one in ten seconds: a development chain may have four a second."""
        now = self._clock.now()
        if 0 <= now - self._said_at < QUIET_SECONDS:
            self._unsaid += 1
            return
        more = {"since_last": self._unsaid + 1} if self._unsaid else {}
        _log.info("block_sealed", height=block.index, hash=block.hash, worker=worker, **more)
        self._said_at, self._unsaid = now, 0

    def _renew(self, round_id: str) -> None:
        """Give an open round a new template. End it, if it was opened for transactions that are in a block by now, or
        if no block may be made yet; then its request waits for another.
        """
        found = self.store.round(round_id)
        if found is None or not found.is_open:
            return
        for _ in range(_ATTEMPTS):
            situation = self.store.situation()
            if situation.differs:
                return
            awaited = situation.requests > 0
            try:
                opened = self._open(round_id, found.version, situation.tip, empty=awaited)
            except TipMoved:
                continue
            except TooEarly:
                self.store.abandon(round_id, self._clock.now(), awaited=True)
                return
            if opened is None and not awaited:
                self.store.abandon(round_id, self._clock.now())
            return

    def _open(self, round_id: str, version: str, tip: str, *, empty: bool) -> tuple[str, int] | None:
        """Open or renew a round on `tip`; id and height. None: there is nothing to mine, or another round is open.

        Args:
            empty: a block without transactions is wanted too: at `tip` a request waits. After it, perhaps none does.

        Raises:
            TipMoved: the tip is another one by now.
            TooEarly: see `TemplateMaker.make`.
        """
        made = self._templates.make(self.policy.recipient)
        if made.tip.hash != tip:
            raise TipMoved("The tip moved before a template was made.")
        self._mempool.drop_invalid(made.refused)
        if not empty and not made.transactions:
            return None
        opened, _ = self.store.open(round_id, version, made.template, made.transactions, self._clock.now())
        return (opened, made.template.height) if opened else None

    # --- for the API ---

    def wait(self, request_id: str, seconds: float) -> MiningRequest:
        """The state of a request, once it is answered or `seconds` have passed.

        Raises:
            NotFound: there is no such request, or not any more.
        """
        left = seconds
        while True:
            found = self.store.request(request_id)
            if found is None:
                raise NotFound("There is no such job.")
            if not found.is_waiting or left <= 0:
                return found
            began, turn = self._clock.now(), min(left, 1.0)
            self.store.wait_for_answer(request_id, turn)
            # Turn by turn: a clock that is set back meanwhile must not make anybody wait for hours.
            left -= max(turn, self._clock.now() - began)
