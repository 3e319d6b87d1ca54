"""Forks on demand: another branch is mined beside the chain by the real workers, and then swapped in at once.

Walk: `fork` → a branch is begun below the tip → block by block a template from the detached and the waiting
transactions, whose proof workers find in a round aside (services/mining/aside.py) → the branch is complete → `swap`.
Until then the chain is as it was, for clients and for peers. Detached transactions that the branch does not hold return
to the mempool, as after any reorganisation.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.chain.reorganiser import Branch, Reorganiser
from services.development.candidates import Candidates
from services.development.going_back import CannotGoBack, GoingBack
from services.mining.aside import RoundsAside
from services.mining.rounds import Rounds
from services.peers.announcer import Announcer
from services.peers.book import PeerBook
from services.ports import Clock
from services.store.branch import Aftermath
from services.store.chain import ChainStore
from services.store.pool import Entry, PoolStore
from shared.block import Template
from shared.errors import RuleError
from shared.forkchoice import is_better
from shared.rules import Rules
from shared.transaction import Transaction

# Seconds that one fork may take, and blocks that it may have.
LONGEST, DEEPEST = 300.0, 1000
# Transactions that are held in memory for the branch. Others return to the mempool.
_HELD = 20_000
# Blocks beyond the depth that a branch may need, because the chain grows while it is mined.
_MORE = 100


@dataclass(frozen=True, slots=True)
class Forked:
    """What a fork did."""

    fork: int  # height of the last block that both branches have
    detached: tuple[str, ...]  # hashes, oldest first
    attached: tuple[str, ...]  # hashes, oldest first


class Forks:
    """Forks of one node's chain."""

    def __init__(
        self,
        chain: ChainStore,
        pool: PoolStore,
        rules: Rules,
        reorganiser: Reorganiser,
        going_back: GoingBack,
        aside: RoundsAside,
        rounds: Rounds,
        book: PeerBook,
        announcer: Announcer,
        clock: Clock,
    ) -> None:
        self._chain = chain
        self._pool = pool
        self._rules = rules
        self._reorganiser = reorganiser
        self._going_back = going_back
        self._aside = aside
        self._rounds = rounds
        self._book = book
        self._announcer = announcer
        self._clock = clock

    def fork(
        self,
        depth: int,
        *,
        drop: Collection[str] = (),
        include: Sequence[str] = (),
        placed: Mapping[int, Sequence[Transaction]] | None = None,
    ) -> Forked:
        """Replace the last `depth` blocks by another branch: without peers as long, with peers one block longer, so
        that they follow by the ordinary rule.

        Args:
            drop: ids of detached or waiting transactions that the branch leaves out. They leave the mempool too.
            include: ids of detached or waiting transactions that the branch takes first.
            placed: by number of the branch's block (0 is the first), transactions for this block.

        Raises:
            CannotGoBack: the depth is out of range, a transaction is unknown, or one of `include` or `placed` does not
                fit. Nothing has changed.
            PolicyError: `no_reward_address`, `not_a_sealer`. Busy: another branch is being mined.
            NoProof: the workers did not finish in time. TipMoved: the chain changed in another way.
        """
        recipient, ends = self._aside.recipient, self._clock.now() + LONGEST
        self._reorganiser.finish()
        fork = self._going_back.require_depth(depth)
        if depth > DEEPEST:
            raise CannotGoBack(f"A fork replaces at most {DEEPEST} blocks.")
        branch = self._reorganiser.begin(fork)
        has_peers = bool(self._book.approved())
        placed = placed or {}
        offered = self._offered(branch, drop, include)
        preferred = [offered[name] for name in include]
        fixed = [item for items in placed.values() for item in items]
        candidates = Candidates(
            self._rules,
            self._reorganiser,
            branch,
            offered.values(),
            [*fixed, *preferred],
            self._rounds.templates.sealer,
        )
        candidates.put_first(preferred)
        while len(branch.attached) < depth + has_peers or (has_peers and not self._outweighs(branch)):
            if len(branch.attached) >= depth + _MORE:
                raise CannotGoBack("The chain grew as fast as the branch: stop what mines it.")
            wanted = placed.get(len(branch.attached), ())
            template, chosen = self._template(candidates, branch, wanted, recipient)
            left = max(1.0, ends - self._clock.now())
            block = self._aside.find(template, len(chosen), left, patient=bool(branch.attached))
            self._reorganiser.add(branch, block)
            candidates.took(chosen)
        missing = next((name for name in include if candidates.has(name)), None)
        if missing is not None:
            raise CannotGoBack(f"Transaction {missing} does not fit: a nonce or coins before it are missing.")
        leaving = Aftermath("dropped", "left out of a fork", leaving=tuple(drop)) if drop else None
        self._reorganiser.swap(branch, may_be_lighter=not has_peers, aftermath=leaving)
        self._announcer.tip_changed()
        self._rounds.ensure_open()
        return Forked(fork, tuple(reversed(branch.detached)), tuple(branch.attached))

    def _template(
        self, candidates: Candidates, branch: Branch, wanted: Sequence[Transaction], recipient: str
    ) -> tuple[Template, list[Transaction]]:
        """The branch's next block without its proof, and its transactions. Raises: CannotGoBack, TipMoved."""
        try:
            template, chosen = candidates.template(wanted, recipient, self._clock.now())
            # The first block must differ from the detached one at its height. With the same transactions nothing but
            # the time does. It is later, so that a second fork does not lead back to the block before the first.
            old = None if branch.attached else self._chain.header(branch.detached[-1])
            if old is not None and template.fields["timestamp"] <= old.header.timestamp:
                template, chosen = candidates.template(wanted, recipient, old.header.timestamp + 1)
        except RuleError as error:
            raise CannotGoBack(f"A transaction does not fit block {branch.tip.height + 1}: {error.message}") from None
        return template, chosen

    def _outweighs(self, branch: Branch) -> bool:
        return is_better(branch.tip.claim, self._chain.tip().claim)

    def _offered(self, branch: Branch, drop: Collection[str], include: Sequence[str]) -> dict[str, Transaction]:
        """By id, what the branch may hold: the detached, oldest first, then the waiting, best fee first.

        Raises:
            CannotGoBack: one of `drop` or `include` is neither detached nor waiting.
        """
        unknown = {*drop, *include}
        found: dict[str, Transaction] = {}
        for block_hash in reversed(branch.detached):
            for transaction in self._reorganiser.transactions(block_hash):
                unknown.discard(transaction.id)
                if transaction.type != "reward" and (len(found) < _HELD or transaction.id in include):
                    found[transaction.id] = transaction
        waiting = [entry for page in self._pages() for entry in page]
        for entry in [*self._pool.entries(list(include)), *waiting]:
            unknown.discard(entry.id)
            if len(found) < _HELD or entry.id in include:
                found.setdefault(entry.id, self._rules.recall(entry.text, entry.id, entry.nonce))
        unknown -= {entry.id for entry in self._pool.entries(sorted(unknown))}
        if unknown:
            raise CannotGoBack(
                f"Transaction {min(unknown)} is neither in the last {len(branch.detached)} blocks nor in the mempool."
            )
        return {name: transaction for name, transaction in found.items() if name not in drop}

    def _pages(self) -> Iterator[list[Entry]]:
        """The mempool, best fee first, up to _HELD transactions."""
        read = 0
        for page in self._pool.by_fee():
            yield page
            read += len(page)
            if read >= _HELD:
                return
