"""Saving and loading the state of a development node: its chain with stale branches, its mempool, and its parts.

Walk of loading: `decode` checks the file's hash and shapes → every transaction that waits is checked → the blocks, also
those of stale branches, are verified by the ordinary rules and staged (services/chain/reorganiser.py) → `swap` makes
the file's chain ours → the mempool becomes the file's. Up to the swap nothing of the chain or the mempool changes, so a
file that cannot be used changes nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from services.chain.reorganiser import Branch, Reorganiser
from services.development.clock_part import ClockPart, allow_any_time
from services.development.stale import StaleBranches, copy_of
from services.development.state_file import (
    MAX_BYTES,
    TOO_LARGE,
    BadState,
    LeftTransaction,
    StaleBlock,
    State,
    WaitingTransaction,
    decode,
    encode,
)
from services.errors import Busy, TipMoved
from services.mempool.judgement import cost
from services.ports import Clock
from services.store.branch import Aftermath
from services.store.chain import ChainStore
from services.store.pool import Admission, PoolStore, PoolView, Question
from services.store.records import Tip
from services.store.state import StateStore
from shared import wire
from shared.block import Block
from shared.errors import InputError, RuleError, TooEarly
from shared.forkchoice import is_better
from shared.rules import Rules
from shared.transaction import Transaction

_ATTEMPTS = 20
# Far above every real cap: the caps of a mempool bind admission only.
_NO_CAP = 2**40


class Part(Protocol):
    """A part of a node that has a place of its own in a state file, such as the clock."""

    @property
    def name(self) -> str:
        """Lower-case letters and hyphens. A file with a part of another name cannot be loaded."""

    def dump(self) -> Any:
        """What there is to keep, as a JSON value; None: nothing, and the file has no such part."""

    def check(self, value: Any) -> None:
        """Called before anything is written. Raises: BadState: the value cannot be loaded."""

    def load(self, value: Any) -> None:
        """Called with a checked value once the chain and the mempool are the file's; None: it has no such part."""


@dataclass(frozen=True, slots=True)
class _Checked:
    """A waiting transaction whose signature is good."""

    transaction: Transaction
    item: WaitingTransaction


class States:
    """The state of one node."""

    def __init__(
        self,
        chain: ChainStore,
        pool: PoolStore,
        store: StateStore,
        reorganiser: Reorganiser,
        rules: Rules,
        clock: Clock,
        phrase: Callable[[], str],
        has_peers: Callable[[], bool],
        parts: Sequence[Part] = (),
    ) -> None:
        """`phrase`: reads that of the development accounts; "": those that every node knows."""
        self._has_peers = has_peers
        self._chain = chain
        self._pool = pool
        self._store = store
        self._reorganiser = reorganiser
        self._rules = rules
        self._clock = clock
        self._phrase = phrase
        self._parts = parts

    # --- saving ---

    def dump(self) -> bytes:
        """The state as a file.

        Raises:
            BadState: the chain is not for development, or the file would be too large.
            Busy: `contended`: the state changed at every attempt to read it.
        """
        self._require_development()
        for _ in range(_ATTEMPTS):
            self._reorganiser.finish()
            before = self._store.mark()
            try:
                state = self._read()
            except TipMoved:
                continue
            if self._store.mark() == before:
                return encode(state)
        raise Busy("contended", "The state changed at every attempt to read it; try again.")

    def _read(self) -> State:
        size, blocks = 0, []
        for text in self._chain.stream(2, self._chain.tip().height):
            size += len(text)
            if size > MAX_BYTES:
                raise BadState(TOO_LARGE)
            blocks.append(text)
        records = sorted(self._store.records(), key=lambda item: (item[1]["at"], item[0]))
        left = [LeftTransaction(name, item["status"], item["reason"], item["at"]) for name, item in records]
        entries = self._pool.entries(self._store.arrivals())
        waiting = [WaitingTransaction(entry.text, entry.admitted_at, entry.replacements) for entry in entries]
        parts = {part.name: value for part in self._parts if (value := part.dump()) is not None}
        return State(self._rules.spec, self._phrase(), blocks, list(self._stale()), waiting, left, parts)

    def _stale(self) -> Iterator[StaleBlock]:
        found = self._store.stale()
        headers = self._chain.headers_of(list(found))
        for stored in sorted(headers, key=lambda item: (item.header.index, item.header.hash)):
            text = self._chain.block_bytes(stored.header.hash)
            if text is not None:
                yield StaleBlock(text, found[stored.header.hash])

    # --- loading ---

    def load(self, content: bytes) -> Tip:
        """Make the state of a file ours. Waiting transactions that the file does not have are dropped, with a record.

        Returns:
            the tip.

        Raises:
            BadState: the file cannot be used here, or its chain has less work than ours, and we have peers. Nothing has
                changed.
            LedgerDiffers: the stored state is marked as wrong. Nothing has changed.
            Busy: `contended`.
        """
        self._require_development()
        state = decode(content)
        if state.spec.hash != self._rules.spec.hash:
            raise BadState(
                f"The state is of the chain {state.spec.name} (id {state.spec.chain_id}), and this node's is "
                f"{self._rules.spec.name} (id {self._rules.spec.chain_id}): their chain specs differ."
            )
        self._check_parts(state)
        checked = self._check_waiting(state)
        for _ in range(_ATTEMPTS):
            self._reorganiser.finish()
            try:
                placed = self._adopt(state, [item.transaction for item in checked])
            except TipMoved:
                continue
            self._store.place(placed)
            self._fill(checked, state.left)
            for part in self._parts:
                part.load(state.parts.get(part.name))
            return self._chain.tip()
        raise Busy("contended", "The chain changed at every attempt to load the state; try again.")

    def holds(self, state: State) -> bool:
        """Whether our chain holds the tip of a state: loading it would only take blocks off."""
        height = len(state.blocks) + 1
        text = state.blocks[-1] if state.blocks else self._rules.genesis().canonical
        block_hash = self._chain.hash_at(height)
        return block_hash is not None and self._chain.block_bytes(block_hash) == text

    def is_begun(self) -> bool:
        """Whether there is more than the genesis block: a block, a waiting transaction or a record."""
        self._reorganiser.finish()
        return self._chain.tip().height > 1 or self._pool.totals()[0] > 0 or any(True for _ in self._store.records())

    def _require_development(self) -> None:
        if not (self._rules.spec.development and self._rules.has_accounts):
            raise BadState("State files are for development chains with the standard rules.")

    def _check_parts(self, state: State) -> None:
        known = {part.name: part for part in self._parts}
        for name, value in state.parts.items():
            if name not in known:
                raise BadState(f"The state has a part, {name}, that this node cannot load.")
            known[name].check(value)

    def _check_waiting(self, state: State) -> list[_Checked]:
        found: list[_Checked] = []
        nonces: set[tuple[str, int]] = set()
        for item in state.waiting:
            try:
                transaction = self._rules.read_request(wire.parse(item.text))
            except (InputError, RuleError) as error:
                raise BadState(f"A waiting transaction of the state cannot be used: {error.message}") from None
            if (transaction.sender, transaction.nonce) in nonces:
                raise BadState(f"The state has two waiting transactions of {transaction.sender} with one nonce.")
            nonces.add((transaction.sender, transaction.nonce))
            found.append(_Checked(transaction, item))
        if {item.transaction.id for item in found} & {record.id for record in state.left}:
            raise BadState("The state says of a waiting transaction that it has left the mempool.")
        return found

    def _adopt(self, state: State, waiting: Sequence[Transaction]) -> dict[str, float | None]:
        """Verify the chain and its stale branches, and make it ours.

        Returns:
            when each stale block was staged.

        Raises:
            BadState, LedgerDiffers: nothing has changed.
            TipMoved: the chain moved meanwhile.
        """
        height, blocks = self._common(state)
        branch = self._begin(state, height)
        stale = StaleBranches(state.stale, self._read_block)
        for below, name in enumerate(self._chain.hashes(1, height - 1) if state.stale else (), 1):
            if name in stale:
                self._grow(stale, self._begin(state, below))
        self._grow(stale, branch)
        for block in blocks:
            self._add(branch, block)
            self._grow(stale, branch)
        if lost := stale.rest():
            raise BadState(f"A stale block of the state, at height {lost}, follows no block of it.")
        self._check_nonces(branch, waiting)
        if self._has_peers() and branch.tip.hash != branch.old_tip.hash:
            if not is_better(branch.tip.claim, branch.old_tip.claim):
                raise BadState(
                    "The chain of the state has less work than this node's, and this node has peers, which would bring "
                    "its blocks back: load it into a node without peers."
                )
        # The mempool is emptied by the same swap, and the snapshots go.
        aftermath = Aftermath("dropped", "another state was loaded", restores=True, fields={})
        self._reorganiser.swap(branch, may_be_lighter=True, aftermath=aftermath, snapshot="*")
        return stale.placed

    def _begin(self, state: State, height: int) -> Branch:
        branch = self._reorganiser.begin(height)
        if ClockPart.name in state.parts:
            allow_any_time(branch)
        return branch

    def _common(self, state: State) -> tuple[int, Iterator[Block]]:
        """The height up to which our chain is the state's, and the blocks of the state after it."""
        ours = self._chain.hashes(2, len(state.blocks))
        common = 0
        for name, text in zip(ours, state.blocks, strict=False):
            if self._chain.block_bytes(name) != text:
                break
            common += 1
        return common + 1, map(self._read_block, state.blocks[common:])

    def _read_block(self, text: bytes) -> Block:
        try:
            return self._rules.read_block(wire.parse(text))
        except (InputError, RuleError) as error:
            raise BadState(f"A block of the state cannot be used: {error.message}") from None

    def _add(self, branch: Branch, block: Block) -> None:
        try:
            self._reorganiser.add(branch, block)
        except RuleError as error:
            raise BadState(f"Block {block.index} of the state breaks a rule ({error.code}): {error.message}") from None
        except TooEarly as error:
            raise BadState(f"Block {block.index} of the state: {error}") from None

    def _grow(self, stale: StaleBranches, base: Branch) -> None:
        """Verify the stale blocks that follow the last block of a branch, and those that follow them.

        They may lie in the future: a clock that has been set back since (`evm_revert`) had allowed them.
        """
        waiting = [(base, block) for block in stale.take(base.tip.hash)]
        while waiting:
            parent, block = waiting.pop()
            branch = copy_of(parent)
            allow_any_time(branch)
            self._add(branch, block)
            waiting += [(branch, child) for child in stale.take(block.hash)]

    def _check_nonces(self, branch: Branch, waiting: Sequence[Transaction]) -> None:
        _, stored = self._chain.entries(self._rules.touched(waiting))
        for transaction in waiting:
            account = branch.accounts.get(transaction.sender, stored.accounts[transaction.sender])
            if transaction.nonce < account.nonce:
                raise BadState(f"A waiting transaction of {transaction.sender} has a nonce that its chain has used.")

    # --- the mempool ---

    def _fill(self, checked: Sequence[_Checked], left: Sequence[LeftTransaction]) -> None:
        views: dict[str, PoolView] = {}
        totals: dict[str, int] = {}
        for item in checked:
            sender = item.transaction.sender
            totals[sender] = totals.get(sender, 0) + cost(item.transaction)
            self._admit(item, totals[sender], views)
        # They expire, and are forgotten, as if they had come now: a file may be older than either takes.
        self._store.renew(
            [item.transaction.id for item in checked],
            {item.id: {"status": item.status, "reason": item.reason, "at": item.at} for item in left},
            self._clock.now(),
        )

    def _admit(self, checked: _Checked, total: int, views: dict[str, PoolView]) -> None:
        """Put a transaction into the mempool, unless a block has used its nonce meanwhile."""
        transaction = checked.transaction
        for _ in range(_ATTEMPTS):
            view = views.pop(transaction.sender, None)
            if view is None:
                [view] = self._pool.view([Question(transaction.sender, [])])
            if transaction.nonce < view.account.nonce:
                return
            admission = Admission(
                transaction.sender, view, [transaction], [checked.item.replacements], total, displaced=None
            )
            [written] = self._pool.admit([admission], checked.item.admitted_at, _NO_CAP)
            if written is not None:
                views[transaction.sender] = view._replace(revision=written.revision)
                return
        raise Busy("contended", "The mempool changed at every attempt to load the state; load it again.")
