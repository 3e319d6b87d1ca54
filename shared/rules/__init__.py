"""The rules of a chain: the standard rules and the tutorial's, behind one interface.

`Rules` combines four small interfaces and a list of traits:

    Beginnings   which genesis blocks a chain may begin with
    Reading      JSON objects and raw bytes to blocks and transactions
    Naming       the ids and nonces of transactions
    Judging      whether a block may follow its parent, what it changes, and what may come next

Code that judges, stores or mines a block calls these. Where a node must behave differently, it asks a trait and
never which rules are in force.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from shared.block import Block, Header, Template
from shared.chain_spec import ChainSpec
from shared.keys import KeyPair
from shared.ledger import Change, Entries, Touched
from shared.rules.standard import StandardRules
from shared.rules.tutorial import TutorialRules
from shared.signatures import Signatures
from shared.transaction import Transaction


class Traits(Protocol):
    """How the two sets of rules differ, for code outside them."""

    has_accounts: bool  # there are balances, nonces and signatures; without them wallets have nothing to show
    reward_first: bool  # a block's reward is its first transaction; otherwise its last
    relays: bool  # a transaction that arrives twice counts once, so nodes may pass it on to their peers
    headers_alone: bool  # a header can be judged without its block; otherwise peers are asked for /chain
    open_registration: bool  # anyone may register peers, as in the tutorial
    floats: bool  # blocks and transactions may hold fractions (see `wire.parse`)


class Beginnings(Protocol):
    """Which genesis blocks a chain may begin with."""

    def genesis(self) -> Block:
        """The genesis block that a new node writes."""

    def adopt_genesis(self, value: Any) -> Block:
        """The genesis block of a chain, from its JSON object.

        Raises:
            RuleError: no chain of these rules and this spec begins with it.
        """

    def may_begin_with(self, genesis_hash: str) -> bool:
        """Whether a stored chain whose genesis block has this hash may be one of ours."""

    def may_share_genesis(self, ours: str, theirs: str) -> bool:
        """Whether a peer whose genesis block is `theirs` can be on our chain, whose genesis block is `ours`."""

    def initial(self) -> Entries:
        """The ledger before genesis: the allocations."""


class Reading(Protocol):
    """JSON objects and raw bytes to blocks and transactions."""

    def read_header(self, value: Any) -> Header:
        """A header from its JSON object. Its fields are checked and its hash is computed.

        Raises:
            RuleError: a field is missing, unknown or out of range.
        """

    def read_block(self, value: Any) -> Block:
        """A block from its JSON object. Its fields are checked, and that its header commits to its body.

        Raises:
            RuleError: the first rule of this kind that it breaks.
        """

    def complete(self, template: Template, proof: int) -> Block:
        """The block that `proof` makes of a template: `read_block` of it, but what this process knows of the template's
        transactions (`Template.body`) is not read again.

        Raises:
            RuleError: as `read_block`.
        """

    def read_request(self, value: Any) -> Transaction:
        """A transaction from a request. It is normalised; its fields, chain id, recipient and signature are checked.

        Raises:
            InputError, RuleError: why it is refused.
        """

    def read_raw(self, raw: bytes) -> Transaction:
        """A transaction from the raw bytes that an Ethereum wallet signed, checked as by `read_request`.

        Raises:
            RuleError: why it is refused.
        """

    def check_payee(self, address: str, *, field: str) -> None:
        """Refuse an address (in normal form) that coins or an allowance may not go to.

        Raises:
            RuleError: `bad_recipient`, naming `field`.
        """


class Naming(Protocol):
    """The ids and nonces of transactions.

    A standard transaction contains its nonce, and its id follows from its bytes. A tutorial transaction has neither:
    its nonce is the number of equal transactions before it, and its id depends on that number.
    """

    def numbered(self, transaction: Transaction, nonce: int) -> Transaction:
        """The transaction at `nonce` of its sender's queue; unchanged if it contains its nonce."""

    def placed(self, block: Block, before: Entries) -> Block:
        """The block, its transactions with their final nonces and ids.

        Args:
            before: entries of the ledger before the block, for `touched` of its transactions.
        """

    def recall(self, text: bytes, identifier: str, nonce: int) -> Transaction:
        """A transaction that was admitted earlier, from its canonical text, its id and its nonce.

        Nothing is checked again: checking would take most of the time of a template.
        """

    def recall_block(self, value: Any, ids: Sequence[str], before: Callable[[], Entries]) -> Sequence[Transaction]:
        """The transactions of a block that was verified earlier, from its JSON object, as `placed` gives them.

        Args:
            ids: of its transactions, in order.
            before: returns what `placed` takes as `before`. Called only if the ids do not suffice.
        """


class Trial(Protocol):
    """Applying transactions one by one, to see which of them the next block can hold."""

    def learn(self, entries: Entries) -> None:
        """Add entries of the tip's ledger. They must be known before a transaction that needs them is applied."""

    def next_nonce(self, address: str) -> int:
        """The nonce that the next transaction of `address` must have."""

    def apply(self, transaction: Transaction) -> None:
        """Apply a transaction.

        Raises:
            RuleError: it cannot follow the ones applied so far. Nothing has changed.
        """


class Judging(Protocol):
    """Whether a block may follow its parent, what it changes, and what may come next.

    A `window` is a list of headers that ends at the parent, oldest first: the whole chain, or at least its last
    `window_size`.
    """

    window_size: int

    def check_header(self, header: Header, window: Sequence[Header], now: float | None) -> None:
        """Check a header against its ancestors: link, difficulty, proof, time.

        Args:
            now: Unix seconds; None skips the check that the block does not come too early.

        Raises:
            RuleError: the first rule that it breaks.
            TooEarly: its timestamp lies too far after `now`.
        """

    def check_body(self, block: Block, senders: Mapping[str, str] | None = None) -> None:
        """Check what needs no ledger and no ancestors: the block's size, its reward, every signature.

        Args:
            senders: by id, senders that were recovered from signatures before, as those of the transactions that wait
                in the mempool. They are not recovered again.

        Raises:
            RuleError: the first rule that it breaks.
        """

    def touched(self, transactions: Sequence[Transaction]) -> Touched:
        """The ledger entries that a block with these transactions needs."""

    def apply(self, block: Block, known: Entries) -> Change:
        """The block's effect on the ledger. `known` holds the entries that it touches, and the supply.

        Raises:
            RuleError: the rule that the first failing transaction breaks.
        """

    def work(self, header: Header) -> int:
        """What the header adds to chainwork."""

    def trial(self) -> Trial:
        """An empty trial on top of the tip's ledger."""

    def template(
        self,
        window: Sequence[Header],
        transactions: Sequence[Transaction],
        recipient: str,
        now: float,
        sealer: KeyPair | None = None,
    ) -> Template:
        """The next block without its proof: `transactions` in this order, and the reward to `recipient`.

        Args:
            now: Unix seconds. A template made before `opens_at` is valid, but too early until then.
            sealer: signs the template where only sealers may seal; elsewhere it is ignored.

        Raises:
            RuleError: `sealer_missing`, `sealer_not_allowed`: only sealers may seal, and `sealer` is none.
        """

    def opens_at(self, window: Sequence[Header]) -> float:
        """The Unix time before which every block that follows `window` is too early.

        It lies in the past on a healthy chain, and in the future after blocks of miners whose clocks were ahead.
        """


class Rules(Traits, Beginnings, Reading, Naming, Judging, Protocol):
    """What two nodes must agree on, for one chain spec."""

    spec: ChainSpec


def rules_for(spec: ChainSpec, signatures: Signatures | None = None) -> Rules:
    """The rules that `spec` names.

    Args:
        signatures: another way to check signatures, of which the tutorial's rules have none.
    """
    return TutorialRules(spec) if spec.rules == "tutorial" else StandardRules(spec, signatures)
