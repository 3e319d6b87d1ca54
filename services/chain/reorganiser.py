"""Reorganisations: verify a whole branch, swap it in at once, then finish what follows from it.

Walk: a `Branch` starts at the fork point, with the ledger rolled back by undo records → `add` verifies and stages block
after block → `swap` changes heights, ledger and tip in one script → `finish` brings indexes, histories and mempool in
line (services/chain/finishing.py).
"""

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from services.chain.finishing import Finisher
from services.errors import LedgerDiffers, NotFound, Pruned, TipMoved
from services.ports import Clock
from services.store.branch import Aftermath, BranchStore, Swap
from services.store.chain import ChainStore
from services.store.records import Tip
from shared.block import Block, Header
from shared.errors import RuleError
from shared.forkchoice import is_better
from shared.ledger import Account, AllowanceKey, Change, Entries
from shared.rules import Rules
from shared.transaction import Transaction
from shared.validation import validate

_log = structlog.get_logger(__name__)

# Seconds for which the blocks of an unfinished branch are kept: the peer may come back with more of it.
KEEP_STAGED = 3600.0
_TRIES = 20


@dataclass(slots=True)
class Branch:
    """A branch that is being verified: it is valid up to `window[-1]`, and none of it is on the chain."""

    old_tip: Tip
    fork: int
    detached: list[str]  # hashes, the old tip first
    window: deque[Header]
    chainwork: int
    supply: int
    accounts: dict[str, Account]  # entries that may differ from the old tip's, as they are after the branch
    allowances: dict[AllowanceKey, int]
    attached: list[str] = field(default_factory=list)  # hashes, oldest first

    @property
    def tip(self) -> Tip:
        last = self.window[-1]
        return Tip(last.hash, last.index, self.chainwork, self.supply, last.timestamp)


class Reorganiser:
    """Branches of one node's chain."""

    def __init__(
        self, chain: ChainStore, branches: BranchStore, finisher: Finisher, rules: Rules, clock: Clock
    ) -> None:
        self._chain = chain
        self._branches = branches
        self._finisher = finisher
        self._rules = rules
        self._clock = clock

    def is_marked(self) -> bool:
        """Whether the stored state is marked as wrong: then no branch is adopted."""
        return self._branches.is_marked()

    def begin(self, fork: int, genesis: Block | None = None) -> Branch:
        """A branch that leaves our chain after height `fork`, with the ledger rolled back to that height.

        Args:
            genesis: if `fork` is 0, the branch's own first block (`Beginnings.adopt_genesis`).

        Raises:
            TipMoved: the chain changed while it was read.
            Pruned: the fork point is not above the blocks whose bodies were removed, so the ledger cannot be rolled
                back to it.
        """
        self._finisher.let_go()
        tip = self._chain.tip()
        kept_from = self._chain.kept_from()
        if 1 < kept_from and fork < min(kept_from, tip.height):
            raise Pruned(
                kept_from,
                f"The branch leaves this node's chain after height {fork}, and this node keeps whole blocks from "
                f"height {kept_from} on (QUARRY_KEEP): it cannot follow a reorganisation that deep.",
            )
        detached = [stored.header.hash for stored in reversed(self._chain.headers(fork + 1, tip.height - fork))]
        if (detached[0] if detached else self._chain.hash_at(fork)) != tip.hash:
            raise TipMoved("The tip moved while a branch was begun.")
        accounts: dict[str, Account] = {}
        allowances: dict[AllowanceKey, int] = {}
        supply = tip.supply
        # Tip first, so that the oldest record of an entry overwrites the others. Genesis has no undo record.
        for before in self._chain.undos(detached[: tip.height - max(fork, 1)]):
            accounts.update(before.accounts)
            allowances.update(before.allowances)
            supply = before.supply
        if genesis is not None:
            self._branches.stage(genesis, Entries(), 0, self._clock.now())
            window = deque([genesis.header], maxlen=self._rules.window_size)
            return Branch(tip, 0, detached, window, 0, supply, accounts, allowances, [genesis.hash])
        size = self._rules.window_size
        stored = self._chain.headers(max(1, fork - size + 1), min(fork, size))
        if not stored or stored[-1].header.index != fork:
            raise TipMoved("The chain changed while a branch was begun.")
        window = deque((item.header for item in stored), maxlen=size)
        return Branch(tip, fork, detached, window, stored[-1].chainwork, supply, accounts, allowances)

    def transactions(self, block_hash: str) -> list[Transaction]:
        """The transactions of a stored block, the reward included."""
        return self._finisher.transactions(block_hash)

    def known(self, branch: Branch, transactions: Sequence[Transaction]) -> Entries:
        """The entries that `transactions` touch, as they are after the branch.

        Raises:
            TipMoved: the chain is neither the one that the branch was begun on nor an extension of it.
        """
        keys = self._rules.touched(transactions)
        tip, stored = self._chain.entries(keys)
        while tip.hash != branch.old_tip.hash:
            self._follow(branch)
            tip, stored = self._chain.entries(keys)
        return Entries(
            {address: branch.accounts.get(address, stored.accounts[address]) for address in keys.accounts},
            {key: branch.allowances.get(key, stored.allowances[key]) for key in keys.allowances},
            branch.supply,
        )

    def add(self, branch: Branch, block: Block) -> None:
        """Verify the branch's next block against the branch, and stage it.

        Raises:
            RuleError, TooEarly: as `validate`.
            TipMoved: the chain is neither the one that the branch was begun on nor an extension of it.
        """
        known = self.known(branch, block.transactions)
        limit = branch.old_tip.time_limit(self._clock.now())
        change = validate(self._rules, block, tuple(branch.window), known, limit)
        self._extend(branch, block, change)

    def add_known(self, branch: Branch, block_hash: str) -> bool:
        """Add a block that is stored as the branch's next; False if it is not stored.

        Only verified blocks are stored, and a hash commits to all ancestors. So the bodies of a branch that was left,
        or that an earlier attempt did not complete, are neither fetched nor verified again.
        """
        text = self._chain.block_bytes(block_hash)
        if text is None:
            return False
        try:
            block = self._rules.read_block(json.loads(text))
        except (ValueError, RuleError):
            return False
        if block.hash != block_hash:  # damaged in the store; the peer's is not
            return False
        self._extend(branch, block, self._rules.apply(block, self.known(branch, block.transactions)))
        return True

    def _extend(self, branch: Branch, block: Block, change: Change) -> None:
        branch.chainwork += self._rules.work(block.header)
        # Staged again even if it is stored, so that it is not deleted before the branch is complete.
        placed = self._rules.placed(block, change.before)
        self._branches.stage(placed, change.before, branch.chainwork, self._clock.now())
        self._finisher.hold(block.hash, placed.transactions)
        branch.accounts.update(change.after.accounts)
        branch.allowances.update(change.after.allowances)
        branch.supply = change.after.supply
        branch.window.append(block.header)
        branch.attached.append(block.hash)

    def _follow(self, branch: Branch) -> None:
        """Let the branch also detach the blocks that our chain has gained, so that a busy miner cannot stop it.

        Raises:
            TipMoved: the chain has changed in another way.
        """
        old, tip = branch.old_tip, self._chain.tip()
        ours = [item.header.hash for item in self._chain.headers(old.height, tip.height - old.height + 1)]
        if len(ours) < 2 or (ours[0], ours[-1]) != (old.hash, tip.hash):
            raise TipMoved("The chain changed while a branch was verified.")
        new = ours[:0:-1]
        accounts: dict[str, Account] = {}
        allowances: dict[AllowanceKey, int] = {}
        for before in self._chain.undos(new):
            accounts.update(before.accounts)
            allowances.update(before.allowances)
        # Entries that the branch has already are as the branch leaves them, whatever our chain does.
        branch.accounts = accounts | branch.accounts
        branch.allowances = allowances | branch.allowances
        branch.detached = [*new, *branch.detached]
        branch.old_tip = tip

    def swap(
        self,
        branch: Branch,
        *,
        may_be_lighter: bool = False,
        aftermath: Aftermath | None = None,
        snapshot: str = "",
    ) -> None:
        """Make the branch the chain, and finish.

        Args:
            may_be_lighter: adopt it whatever its work. Only a developer who goes back may ask for that
                (services/development).
            aftermath: what becomes of the mempool; None: detached transactions return to it.
            snapshot: id of the snapshot that is reverted to, which must still be there; "*" to remove all.

        Raises:
            TipMoved: the chain is not the one that the branch was verified against, or has become better than the
                branch. Nothing has changed.
            NotFound: there is no such snapshot any more. Nothing has changed.
            LedgerDiffers: the stored state is marked as wrong. Nothing has changed.
        """
        asked = f":{self._clock.now():.6f}:{snapshot}" if aftermath is not None else ""
        for _ in range(_TRIES):
            if not may_be_lighter and not is_better(branch.tip.claim, branch.old_tip.claim):
                raise TipMoved("Our chain has become better than the branch.")
            ledger = Entries(branch.accounts, branch.allowances, branch.supply)
            outcome = self._branches.swap(
                Swap(
                    branch.old_tip, branch.fork, branch.detached, branch.attached, branch.tip, ledger,
                    aftermath, asked, snapshot,
                ),
                self._clock.now(),
            )  # fmt: skip
            if outcome == "swapped":
                break
            if outcome == "gone":
                raise NotFound("There is no such snapshot any more.")
            if outcome == "differs":
                raise LedgerDiffers("The stored state is marked as wrong: quarry repair first.")
            if outcome == "missing":
                raise TipMoved("Blocks of the branch were forgotten before it was complete.")
            if outcome == "unfinished":
                self.finish()
            else:
                self._follow(branch)
        else:
            raise TipMoved("The tip moved at every attempt.")
        if branch.detached or branch.attached:
            _log.info(
                "reorganised", fork=branch.fork, detached=len(branch.detached), attached=len(branch.attached),
                tip=branch.tip.hash, height=branch.tip.height,
            )  # fmt: skip
        self.finish()

    def finish(self) -> None:
        """Finish the last swap, if it is unfinished. Safe to repeat, also at the same time."""
        self._finisher.finish()

    def forget_abandoned(self) -> int:
        """Delete blocks that were staged more than KEEP_STAGED ago and are not on the chain. Returns how many."""
        return self._branches.forget(self._clock.now() - KEEP_STAGED, 100)
