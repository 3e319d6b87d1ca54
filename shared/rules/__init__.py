"""The rules of a chain, behind one small interface: the standard rules, and the tutorial's own.

Nothing that judges, stores or mines a block asks which rules are in force.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from shared.block import Block, Header, Template
from shared.chain_spec import ChainSpec
from shared.ledger import Change, Entries, Touched
from shared.proof import Seal
from shared.transaction import Transaction


class Trial(Protocol):
    """Applying transactions one by one, to see which the next block can hold."""

    def learn(self, entries: Entries) -> None:
        """Entries of the tip's ledger, before they are needed."""

    def next_nonce(self, address: str) -> int:
        """The nonce that a transaction of `address` must have now."""

    def apply(self, transaction: Transaction) -> None:
        """Apply a transaction, or raise its RuleError and change nothing."""


class Rules(Protocol):
    """What two nodes must agree on, for one chain spec.

    A `window` is a list of headers that ends at the parent, oldest first: all of the chain, or at least its last
    `window_size`.
    """

    spec: ChainSpec
    window_size: int
    has_accounts: bool  # balances, nonces and signatures, without which wallets have nothing to show
    open_registration: bool  # whether anybody may register peers, as in the tutorial
    relays: bool  # whether a transaction that comes twice counts once, so that it may be handed on to peers
    headers_alone: bool  # whether a header can be judged without its block; if not, peers are asked for /chain
    floats: bool  # whether blocks and transactions may hold fractions (see `wire.parse`)

    def genesis(self) -> Block:
        """The first block, the same on every node of the chain."""

    def adopt_genesis(self, value: Any) -> Block:
        """The first block of a chain, from its JSON object, if a chain under these rules may begin with it."""

    def may_begin_with(self, genesis_hash: str) -> bool:
        """Whether a stored chain that began with this genesis block is one of ours."""

    def may_share_genesis(self, ours: str, theirs: str) -> bool:
        """Whether a peer whose chain begins with `theirs` can be on our chain, which begins with `ours`."""

    def initial(self) -> Entries:
        """The ledger before genesis: the allocations."""

    def read_header(self, value: Any) -> Header:
        """A header from its JSON object, its shape checked and its hash computed."""

    def read_block(self, value: Any) -> Block:
        """A block from its JSON object, its shape and the link from header to body checked."""

    def read_request(self, value: Any) -> Transaction:
        """A transaction as people submit it: normalised, shape, chain and signature checked."""

    def read_raw(self, raw: bytes) -> Transaction:
        """A transaction from the raw bytes that an Ethereum wallet signed, checked as `read_request` does."""

    def check_payee(self, address: str, *, field: str) -> None:
        """Whether coins or an allowance may go to `address` (normal form).

        Raises:
            RuleError: `bad_recipient`, naming `field`.
        """

    def recall(self, value: Any, identifier: str, nonce: int) -> Transaction:
        """A transaction that was admitted before, from what was kept of it: JSON object, id, and nonce in its queue.

        Nothing is checked again: that would take most of the time that a template takes.
        """

    def recall_block(self, value: Any, ids: Sequence[str], before: Callable[[], Entries]) -> Sequence[Transaction]:
        """The transactions of a block that was verified before, as `placed` gives them.

        Args:
            ids: of its transactions, in order.
            before: as `placed` wants it, if it is wanted.
        """

    def numbered(self, transaction: Transaction, nonce: int) -> Transaction:
        """A transaction as it stands at `nonce` of its sender's queue. One that says its nonce itself is left alone."""

    def placed(self, block: Block, before: Entries) -> Block:
        """A block whose transactions have their final nonces and ids.

        Args:
            before: entries of the ledger before the block, for `touched` of its transactions.
        """

    def seal(self, template: Template) -> Seal:
        """What a search for the template's proof needs to know."""

    def template(
        self, window: Sequence[Header], transactions: Sequence[Transaction], recipient: str, now: float
    ) -> Template:
        """The next block without its proof: `transactions` in their order, and the reward to `recipient`.

        Args:
            now: Unix seconds. Before `opens_at` the template is valid all the same, but too early until then.
        """

    def opens_at(self, window: Sequence[Header]) -> float:
        """Unix seconds from which on a block may follow `window`: before that, any would be too early.

        Long past on a healthy chain. In the future after blocks of miners whose clocks were ahead.
        """

    def room(self) -> int:
        """Bytes of canonical transactions that a template can hold, separators and reward aside."""

    def check_header(self, header: Header, window: Sequence[Header], now: float | None) -> None:
        """A header against its ancestors: link, time, difficulty, proof. `now` None: do not judge the future."""

    def check_body(self, block: Block) -> None:
        """What a block's body must satisfy by itself: sizes, the reward, every signature."""

    def touched(self, transactions: Sequence[Transaction]) -> Touched:
        """The ledger entries that a block with these transactions needs."""

    def apply(self, block: Block, known: Entries) -> Change:
        """The block's effect on the ledger."""

    def trial(self) -> Trial:
        """An empty trial on top of the tip's ledger."""

    def work(self, header: Header) -> int:
        """What the header adds to chainwork."""


def rules_for(spec: ChainSpec) -> Rules:
    """The rules that `spec` names."""
    from shared.rules.standard import StandardRules

    if spec.rules == "standard":
        return StandardRules(spec)
    from shared.rules.tutorial import TutorialRules

    return TutorialRules(spec)
