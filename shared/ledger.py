"""The ledger: accounts, allowances and supply, and how transactions change them one by one.

The order of the statements in `Ledger.apply` is the specification (docs/consensus.md, "Transactions, in order").
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from shared.amounts import MAX_AMOUNT, format_amount
from shared.chain_spec import ChainSpec
from shared.errors import RuleCode, RuleError
from shared.transaction import Transaction, check_chain, check_recipient


class Account(NamedTuple):
    """What the ledger knows of an address."""

    balance: int = 0  # base units
    nonce: int = 0  # of its next transaction


NO_ACCOUNT = Account()

# owner, spender
AllowanceKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Entries:
    """Part of a ledger: accounts and allowances. What is absent is zero.

    It holds what a block touches, the values after the block, or (as its undo record) the values before it.
    """

    accounts: Mapping[str, Account] = field(default_factory=dict)
    allowances: Mapping[AllowanceKey, int] = field(default_factory=dict)
    supply: int = 0  # base units, of the whole ledger


@dataclass(frozen=True, slots=True)
class Change:
    """What a block does to the ledger. `after` and `before` name the same accounts and allowances."""

    after: Entries
    before: Entries


@dataclass(frozen=True, slots=True)
class Touched:
    """The keys of a ledger that a list of transactions reads or writes."""

    accounts: frozenset[str]
    allowances: frozenset[AllowanceKey]


def touched(transactions: Iterable[Transaction]) -> Touched:
    """The entries that are needed to apply `transactions`."""
    accounts: set[str] = set()
    allowances: set[AllowanceKey] = set()
    for transaction in transactions:
        accounts.add(transaction.recipient)
        if transaction.type == "reward":
            continue
        accounts.add(transaction.sender)
        if transaction.type == "approve":
            allowances.add((transaction.sender, transaction.recipient))
        elif transaction.owner is not None:
            accounts.add(transaction.owner)
            allowances.add((transaction.owner, transaction.sender))
    return Touched(frozenset(accounts), frozenset(allowances))


class Ledger:
    """Known entries of a ledger, and the changes made to them so far.

    Args:
        known: at least the entries that `touched` gives for the transactions to be applied.
    """

    def __init__(self, known: Entries) -> None:
        self._known = known
        self._accounts: dict[str, Account] = {}
        self._allowances: dict[AllowanceKey, int] = {}
        self._supply = known.supply

    def account(self, address: str) -> Account:
        found = self._accounts.get(address)
        return self._known.accounts.get(address, NO_ACCOUNT) if found is None else found

    def allowance(self, owner: str, spender: str) -> int:
        key = (owner, spender)
        found = self._allowances.get(key)
        return self._known.allowances.get(key, 0) if found is None else found

    def reward(self, transaction: Transaction, spec: ChainSpec) -> None:
        """Credit a block's reward: new coin (the spec's reward) and the block's fees.

        Raises:
            RuleError: `bad_recipient`, `balance_overflow`. Nothing has changed.
        """
        check_recipient(transaction, spec)
        self._credit(transaction.recipient, transaction.amount)
        self._supply += spec.reward

    def apply(self, transaction: Transaction, spec: ChainSpec) -> None:
        """Apply one transaction whose signature is known to be good.

        Raises:
            RuleError: `wrong_chain_id`, `bad_recipient`, `nonce_too_low`, `nonce_gap`, `insufficient_funds`,
                `insufficient_allowance`, `balance_overflow`. Nothing has changed.
        """
        sender = self.account(transaction.sender)
        check_chain(transaction, spec)
        check_recipient(transaction, spec)
        if transaction.nonce != sender.nonce:
            code: RuleCode = "nonce_too_low" if transaction.nonce < sender.nonce else "nonce_gap"
            raise RuleError(
                code, f"The account's next nonce is {sender.nonce}, not {transaction.nonce}.", field="nonce"
            )
        paid = sender.balance - transaction.fee
        if paid < 0:
            raise _uncovered("insufficient_funds", "The sender's balance", sender.balance, "fee", transaction.fee)
        payer, amount = transaction.payer, transaction.amount
        if payer is not None:
            available = paid if payer == transaction.sender else self.account(payer).balance
            if available < amount:
                raise _uncovered("insufficient_funds", "The payer's remaining balance", available, "amount", amount)
        if transaction.owner is not None:
            allowed = self.allowance(transaction.owner, transaction.sender)
            if allowed < amount:
                raise _uncovered("insufficient_allowance", "The allowance", allowed, "amount", amount)

        self._accounts[transaction.sender] = Account(paid, sender.nonce + 1)
        if payer is None:
            self._allowances[transaction.sender, transaction.recipient] = amount
            return
        if transaction.owner is not None:
            key = (transaction.owner, transaction.sender)
            self._allowances[key] = self.allowance(*key) - amount
        source = self.account(payer)
        self._accounts[payer] = source._replace(balance=source.balance - amount)
        self._credit(transaction.recipient, amount)

    def change(self) -> Change:
        """What has changed since `known`, and the values before."""
        return Change(
            after=Entries(self._accounts, self._allowances, self._supply),
            before=Entries(
                {address: self._known.accounts.get(address, NO_ACCOUNT) for address in self._accounts},
                {key: self._known.allowances.get(key, 0) for key in self._allowances},
                self._known.supply,
            ),
        )

    def _credit(self, address: str, amount: int) -> None:
        account = self.account(address)
        # Cannot happen while the supply is below 2^256, which `spec_from_object` and `apply_block` ensure.
        if account.balance + amount > MAX_AMOUNT:
            raise RuleError("balance_overflow", "A balance must stay below 2^256 base units.", field="amount")
        self._accounts[address] = account._replace(balance=account.balance + amount)


def _uncovered(code: RuleCode, what: str, units: int, field: str, asked: int) -> RuleError:
    return RuleError(
        code, f"{what} of {format_amount(units)} does not cover the {field} of {format_amount(asked)}.", field=field
    )


def apply_block(transactions: Sequence[Transaction], known: Entries, spec: ChainSpec) -> Change:
    """Apply a block's transactions, the reward first.

    Args:
        known: the ledger's entries for `touched(transactions)`, and its supply.

    Raises:
        RuleError: the rule that the first failing transaction breaks.
    """
    ledger = Ledger(known)
    ledger.reward(transactions[0], spec)
    for transaction in transactions[1:]:
        ledger.apply(transaction, spec)
    change = ledger.change()
    moved = sum(account.balance for account in change.after.accounts.values())
    moved -= sum(account.balance for account in change.before.accounts.values())
    if moved != spec.reward or change.after.supply > MAX_AMOUNT:
        raise RuleError("supply_not_conserved", "A block may create its reward and no other coin.")
    return change


class Trial:
    """Applying transactions one by one, to see which of them the next block can hold. The reward is left out."""

    def __init__(self, spec: ChainSpec) -> None:
        self._spec = spec
        self._known_accounts: dict[str, Account] = {}
        self._known_allowances: dict[AllowanceKey, int] = {}
        self._ledger = Ledger(Entries(self._known_accounts, self._known_allowances))

    def learn(self, entries: Entries) -> None:
        """Add entries of the tip's ledger. They must be known before a transaction that needs them is applied."""
        self._known_accounts.update(entries.accounts)
        self._known_allowances.update(entries.allowances)

    def next_nonce(self, address: str) -> int:
        """The nonce that the next transaction of `address` must have."""
        return self._ledger.account(address).nonce

    def apply(self, transaction: Transaction) -> None:
        """Apply a transaction.

        Raises:
            RuleError: as `Ledger.apply`. Nothing has changed.
        """
        self._ledger.apply(transaction, self._spec)
