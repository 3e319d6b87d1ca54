"""Rounds: the search for one block's proof, by any number of workers. This is the node's side of it.

Walk: a request or a transaction waits → `ensure_open` (a template, a round, search jobs) → workers claim ranges of
proofs and hand in what they find (services/mining/searches.py) → the desk has it sealed by `seal` (the block is
appended, the oldest request answered) → the next round, if anything waits.
"""

from contextlib import suppress

import structlog

from services.chain.accept import Accepted, Acceptor
from services.errors import LedgerDiffers, NotASealer, TipMoved
from services.mempool.admission import Mempool
from services.mining.policy import MiningPolicy
from services.mining.templates import TemplateMaker
from services.ports import Ports
from services.store.chain import SealedBy
from services.store.mining import MiningStore, Situation
from services.store.searches import Claim
from services.system import tracing
from shared.errors import TooEarly
from shared.rules import Rules

_log = structlog.get_logger(__name__)

_ATTEMPTS = 20
# A block costs some milliseconds, however little is in it. So auto-mining rests after a block in proportion to what the
# block held: a single transaction is mined at once, and a stream of transactions fills blocks.
REST_PER_TRANSACTION = 0.002
LONGEST_REST = 0.1


class Rounds:
    """The rounds of one node."""

    def __init__(
        self,
        policy: MiningPolicy,
        store: MiningStore,
        templates: TemplateMaker,
        acceptor: Acceptor,
        mempool: Mempool,
        rules: Rules,
        ports: Ports,
    ) -> None:
        self._policy = policy
        self._store = store
        self._templates = templates
        self._acceptor = acceptor
        self._mempool = mempool
        self._rules = rules
        self._clock = ports.clock
        self._queue = ports.queue
        self._randomness = ports.randomness

    @property
    def templates(self) -> TemplateMaker:
        """What makes the templates of rounds."""
        return self._templates

    def waits_until(self) -> float | None:
        """Unix seconds until which no block can be made, because the last blocks lie too far in the future.

        None: a block can be made now.
        """
        for _ in range(_ATTEMPTS):
            try:
                opens = self._templates.opens_at()
                return opens if opens > self._clock.now() else None
            except TipMoved:
                continue
        return None

    def automines(self, chosen: bool | None) -> bool:
        """Whether a waiting transaction opens a round. `chosen`: see `Situation.automine`."""
        return self._policy.automines(chosen)

    def ensure_open(self) -> str | None:
        """Open a round and ask workers to search, if a round is wanted. Returns the id of the open round, or None.

        A round is wanted while a mining request waits, and, with auto-mining, while a template would hold a transaction
        besides the reward; or always, if the node mines without being asked. No round is opened while the stored state
        is marked as wrong, while the mempool is made that of a snapshot, or while any block would be too early
        (`waits_until`): then housekeeping tries again. Nor is one opened while this node may not make the next block; a
        process that may not sign it asks one that may. While a round is open aside (services/mining/aside.py), the
        answer is that round.
        """
        for _ in range(_ATTEMPTS):
            situation = self._store.situation()
            if situation.aside:
                return situation.aside  # it comes first: who opened it waits, and other rounds may follow each other
            if situation.differs or situation.restoring:
                return None
            if situation.open_round:
                return situation.open_round
            wanted = situation.requests > 0 or self._policy.never_idle
            automine = (
                self._policy.automines(situation.automine)
                and situation.pool_size > 0
                and situation.held != situation.tip
            )
            if not wanted and not automine:
                return None
            with tracing.trace("open round"):
                try:
                    opened = self._open(self._randomness.token(), "0", situation, empty=wanted)
                except TipMoved:
                    continue  # perhaps by a block that answered the request, so look again at what is wanted
                except TooEarly:
                    return None
                except NotASealer:
                    self._templates.sealer.ask(self._queue, self._clock, self._policy.node, situation.tip)
                    return None
                if opened is None:
                    return None
                if traceparent := tracing.current():
                    self._store.note_trace(opened[0], traceparent)
                self.call_workers(*opened)
                return opened[0]
        return None

    def call_workers(self, round_id: str, height: int) -> None:
        """Enqueue a search job for every mining worker that is not searching already; at least one, if none is."""
        searching = self._store.searchers(self._clock.now())
        copies = self._queue.mining_workers() - searching
        if copies > 0 or searching == 0:
            self._queue.enqueue_search(self._policy.node, round_id, height, max(copies, 1))

    def reconcile(self) -> None:
        """Open the round that is wanted, and enqueue search jobs if no worker searches: a killed worker or an emptied
        broker may have lost them.
        """
        round_id = self.ensure_open()
        if round_id is None or self._store.searchers(self._clock.now()):
            return
        found = self._store.round(round_id)
        if found is not None:
            self._queue.enqueue_search(self._policy.node, round_id, found.height, max(self._queue.mining_workers(), 1))

    def renew(self) -> None:
        """Give the open round, if there is one, a new template, since transactions of it were dropped.

        A proof that was found for an old template seals nothing any more.
        """
        open_round = self._store.situation().open_round
        if open_round:
            self._renew(open_round, keeps=False)

    def renew_old(self, round_id: str, version: str = "") -> None:
        """Give an open round a new template because the tip has moved or the template is old.

        Args:
            version: of the old template; nothing is done if the round has another. "": of any.
        """
        found = self._store.round(round_id) if version else None
        if not version or (found is not None and found.version == version):
            self._renew(round_id)

    def aside(self) -> str:
        """The id of the round that is open for a block of another branch, or ""."""
        return self._store.situation().aside

    def refresh(self, version: str) -> None:
        """Open the round that is wanted, or renew the open one's template if it still is `version` (`Sealer.ask`)."""
        open_round = self.ensure_open()
        found = self._store.round(open_round) if open_round else None
        if found is not None and found.version == version:
            self._renew(found.id)

    def rest(self) -> float:
        """Seconds that auto-mining rests before it opens another round; 0 while a round is open or a request waits."""
        situation = self._store.situation()
        automines = self._policy.automines(situation.automine) and not self._policy.never_idle
        if not automines or situation.requests or situation.open_round:
            return 0.0
        sealed_at, transactions = self._store.last_seal()
        rest = min(LONGEST_REST, REST_PER_TRANSACTION * transactions)
        # A process with another clock may have written the time.
        return max(0.0, min(rest, sealed_at + rest - self._clock.now()))

    def read_ahead(self) -> None:
        """Read the headers that the next template and its seal need, while there is time."""
        with suppress(TipMoved):
            self._templates.opens_at()

    def trace_of(self, round_id: str) -> str:
        """The trace in which a round was opened; "" where there is none, or this process does not trace."""
        return self._store.trace_of(round_id) if tracing.is_on() else ""

    def block_of(self, round_id: str) -> str | None:
        """The hash of the block that has ended a round; None if none has, or the round is forgotten."""
        found = self._store.round(round_id)
        return None if found is None else found.block

    def seal(self, claim: Claim, proof: int, worker: str) -> Accepted | None:
        """Make the block that `proof` completes and append it; for a round aside, hand it to who opened the round.

        A proof for a template that was renewed while the tip stayed counts as well.

        None: the block was not appended. Another block came first; or the template does not count any more (`renew`);
        or this node's clock was set back after the template was made, so that the round gets a new template or ends; or
        the stored state is marked as wrong.
        """
        found = self._store.template(claim.round_id, claim.version)
        if found is None:
            return None
        block = self._rules.complete(found[1], proof)
        sealed_by = SealedBy(claim.round_id, worker, claim.version)
        if found[2]:  # aside
            ended = self._store.end_aside(claim.round_id, self._clock.now(), block.hash, worker, proof)
            return Accepted(block, sealed_by, None) if ended else None
        try:
            with tracing.step("append", block=block.hash):
                return self._acceptor.accept(block, sealed_by)
        except TipMoved:
            return None
        except TooEarly:
            self._renew(claim.round_id, keeps=False)  # the next proof of the same template would fail in the same way
            return None
        except LedgerDiffers as error:
            _log.error("seal_refused", reason=str(error))
            return None

    def _renew(self, round_id: str, *, keeps: bool = True) -> None:
        """Give an open round a new template. End the round if it is no longer wanted, because a block holds its
        transactions, or if no block may be made yet: then the request waits for another round.

        Args:
            keeps: whether the templates of before still count, if the tip is the same.
        """
        found = self._store.round(round_id)
        if found is None or not found.is_open:
            return
        for _ in range(_ATTEMPTS):
            situation = self._store.situation()
            if situation.differs or situation.restoring:
                return
            awaited = situation.requests > 0 or self._policy.never_idle
            try:
                opened = self._open(round_id, found.version, situation, empty=awaited, keeps=keeps)
            except TipMoved:
                continue
            except NotASealer:
                node, sealer = self._policy.node, self._templates.sealer
                if not sealer.ask(self._queue, self._clock, node, situation.tip, found.version):
                    self._store.abandon(round_id, self._clock.now(), awaited=True)  # by an upgrade, others may seal now
                return
            except TooEarly:
                self._store.abandon(round_id, self._clock.now(), awaited=True)
                return
            if opened is None and not awaited:
                self._store.abandon(round_id, self._clock.now())
            return

    def _open(
        self, round_id: str, version: str, situation: Situation, *, empty: bool, keeps: bool = True
    ) -> tuple[str, int] | None:
        """Open a round on the tip of `situation`, or renew the one that has `version`. Returns its id and height, or
        None if there is nothing to mine.

        Args:
            empty: a block without transactions is wanted too, because a request waited when `situation` was read. A
                block that follows its tip may have answered it.

        Raises:
            TipMoved: the tip is no longer that of `situation`, or the mempool has been restored since.
            TooEarly, NotASealer: see `TemplateMaker.make`.
        """
        made = self._templates.make(self._policy.recipient)
        if made.tip.hash != situation.tip:
            raise TipMoved("The tip moved before a template was made.")
        self._mempool.drop_invalid(made.refused)
        if not empty and not made.transactions:
            return None
        now = self._clock.now()
        opened, _ = self._store.open(
            round_id, version, made.template, made.transactions, now, situation.arrivals, situation.restored, keeps
        )
        return (opened, made.template.height) if opened else None
