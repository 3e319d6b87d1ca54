"""Setting balances by real transactions: coins come from the development accounts, and go back to them.

Walk: `set` (the node's turn) → what waits is mined → transactions that make up the difference → the block that holds
them → the balance is read again.

The reserve is the last development account, and the one before it once that is empty. So no coin is made or lost, and
every node, receipt and event agrees with the new balance.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from services.development.accounts import UnlockedAccounts
from services.errors import Busy, PolicyError
from services.mempool.admission import Admitted, Mempool
from services.mining.modes import MiningModes
from services.mining.requests import Requests
from services.mining.rounds import Rounds
from services.ports import Clock, Queue, Randomness
from services.settings.table import Settings
from services.store.chain import ChainStore
from services.store.development import DevelopmentStore
from services.store.pool import PoolStore
from services.wallet.signers import EthereumSigner
from shared import erc20, ethereum
from shared.amounts import format_amount
from shared.errors import NodeError, Refusal
from shared.rules import Rules
from shared.transaction import Transaction

# Seconds for one call, its wait for the turn included. The turn itself ends a little later, if its holder has died.
PATIENCE = 20.0
_TURN_SECONDS = 2 * PATIENCE
_PAUSE = 0.01
# Auto-mining has this many pauses to mine the transactions before a block is asked for.
_PAUSES_FOR_AUTOMINE = 50
# Blocks of the correction: another transaction may pay the account in the same block.
_ROUNDS = 4
# Of several writers for one account, each attempt lets one succeed.
_ATTEMPTS = 64
NONCE_TAKEN = frozenset({"nonce_too_low", "replacement_underpriced", "too_many_replacements"})


class BalanceRefused(NodeError):
    """The balance cannot be set. The message says why, and what to do instead. No balance was changed for good."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a node that are needed here."""

    settings: Settings
    rules: Rules
    clock: Clock
    queue: Queue
    chain: ChainStore
    pool: PoolStore
    mempool: Mempool
    requests: Requests
    rounds: Rounds
    modes: MiningModes
    randomness: Randomness
    development: DevelopmentStore
    submit: Callable[[Transaction], Admitted]  # never replaces a transaction that waits


class Balances:
    """Sets balances of one node's chain."""

    def __init__(self, parts: Parts, accounts: UnlockedAccounts) -> None:
        self._parts = parts
        self._accounts = accounts
        self._fee_floor = parts.settings.min_fee

    def set(self, address: str, wanted: Callable[[int], int]) -> None:
        """Give an account a balance. Returns once a block has done it, whether or not transactions are mined at once.

        Args:
            address: EIP-55.
            wanted: from its balance now to the new one, base units.

        Raises:
            BalanceRefused: it cannot be done, or not exactly.
            RuleError: `bad_recipient`.
            PolicyError: `no_reward_address`.
            Busy: others set balances all the time, or too many mining requests wait.
            LedgerDiffers: the stored state is marked as wrong.
        """
        self._check(address)
        deadline = self._parts.clock.now() + PATIENCE
        with self._turn(deadline):
            target = wanted(self._balance(address))
            if self._balance(address) != target:
                self._mine_what_waits(deadline)
            for _ in range(_ROUNDS):
                difference = target - self._balance(address)
                if difference == 0:
                    return
                ids = self._move(address, difference)
                self._await(ids, deadline)
            if self._balance(address) != target:
                raise BalanceRefused(
                    "Other transactions change this balance in every block: set it when nothing pays to or from it."
                )

    def approve(self, owner: str, spender: str, amount: int) -> None:
        """Set the allowance that a development account gives. Returns and raises as `set`."""
        self._check(spender)
        signer = self._accounts.signer(owner)
        if signer is None:
            raise BalanceRefused(
                "Only a development account can be made to allow something: the node has no other key."
            )
        deadline = self._parts.clock.now() + PATIENCE
        with self._turn(deadline):
            self._await([self._send(signer, spender, amount, kind="approve")], deadline)

    def _check(self, address: str) -> None:
        parts = self._parts
        parts.rules.check_payee(address, field="address")
        if not parts.settings.reward_address:
            raise PolicyError("no_reward_address", "This node does not mine: it has no QUARRY_REWARD_ADDRESS.")
        if address == parts.settings.reward_address:
            raise BalanceRefused(
                "Rewards of this node go to this address, so each block changes its balance: use another address."
            )
        if parts.queue.mining_workers() == 0:
            raise BalanceRefused(
                "A balance is set by a transaction in a block, and no mining worker is running: start one with "
                "quarry worker."
            )
        opens = parts.rounds.waits_until()
        if opens is not None and opens - parts.clock.now() > PATIENCE:
            raise BalanceRefused("No block can be made yet: the last ones lie too far in the future.")

    def _balance(self, address: str) -> int:
        return self._parts.chain.account(address).balance

    @contextmanager
    def _turn(self, deadline: float) -> Iterator[None]:
        """Have the node's turn: two differences that are computed from one balance would add up."""
        parts, token = self._parts, self._parts.randomness.token()
        while not parts.development.take_turn(token, _TURN_SECONDS):
            if parts.clock.now() >= deadline:
                raise Busy("contended", "Too many balances are set at once; try again.")
            parts.clock.sleep(_PAUSE)
        try:
            yield
        finally:
            parts.development.give_turn(token)

    # --- transactions ---

    def _move(self, address: str, difference: int) -> list[str]:
        """Send the transactions that change a balance by `difference` base units. Returns their ids."""
        if difference > 0:
            payments = [(signer, address, amount) for signer, amount in self._shares(address, difference)]
        else:
            payments = [self._returned(address, -difference)]
        sent: list[str] = []
        try:
            for signer, to, amount in payments:
                sent.append(self._send(signer, to, amount))
        except NodeError:
            self._withdraw(sent)
            raise
        return sent

    def _shares(self, address: str, needed: int) -> list[tuple[EthereumSigner, int]]:
        """Which development accounts pay how much: the last first, each all that it has before the next pays.

        Raises:
            BalanceRefused: all of them together have too little.
        """
        shares, left = [], needed
        for signer in self._reserves(address):
            room = self._balance(signer.address) - signer.payable_fee(self._fee_floor)
            if room > 0 and left > 0:
                shares.append((signer, min(room, left)))
                left -= min(room, left)
        if left:
            raise BalanceRefused(
                f"Coins cannot be made: they come from the development accounts, which have "
                f"{format_amount(needed - left)} of the {format_amount(needed)} coins that are needed."
            )
        return shares

    def _returned(self, address: str, amount: int) -> tuple[EthereumSigner, str, int]:
        """The payment with which a development account loses `amount`, its fee included."""
        signer, reserves = self._accounts.signer(address), self._reserves(address)
        if signer is None:
            raise BalanceRefused(
                "The balance can only be raised: to lower it, its owner has to send coins away, and only the keys of "
                "development accounts are known. Use a fresh address or evm_snapshot and evm_revert."
            )
        if not reserves:
            raise BalanceRefused("There is no other development account to which the coins could go.")
        fee = signer.payable_fee(self._fee_floor)
        if amount < fee:
            raise BalanceRefused("The balance is to fall by less than the fee of a transaction.")
        return signer, reserves[0].address, amount - fee

    def _reserves(self, address: str) -> list[EthereumSigner]:
        """The other development accounts, the last first."""
        signers = (self._accounts.signer(item) for item in reversed(self._accounts.addresses) if item != address)
        return [signer for signer in signers if signer is not None]

    def _send(self, signer: EthereumSigner, to: str, amount: int, *, kind: str = "transfer") -> str:
        """Submit a transaction at the account's next nonce. Returns its id."""
        parts = self._parts
        for _ in range(_ATTEMPTS):
            nonce = max(parts.chain.account(signer.address).nonce, parts.pool.next_nonce(signer.address) or 0)
            try:
                admitted = parts.submit(parts.rules.read_raw(self._signed(signer, nonce, to, amount, kind)))
            except Refusal as error:
                if error.code in NONCE_TAKEN:
                    continue
                if error.code == "insufficient_funds":
                    raise BalanceRefused(
                        f"Waiting transactions of {signer.address} need its coins: mine or drop them first."
                    ) from None
                raise
            if admitted.new:
                return admitted.id
        raise Busy("contended", "Too many transactions of this sender arrive at once; try again.")

    def _signed(self, signer: EthereumSigner, nonce: int, to: str, amount: int, kind: str) -> bytes:
        """A raw transfer of coins, or a raw call of the token's `approve`, with the lowest fee that is admitted."""
        spec, gas = self._parts.rules.spec, ethereum.GAS[kind]
        call = erc20.encode_approve(to, amount) if kind == "approve" else b""
        return ethereum.sign_raw(
            private_key=signer.private_key,
            chain_id=spec.chain_id,
            nonce=nonce,
            to=spec.token.address if call else to,
            gas=gas,
            gas_price=-(-self._fee_floor // gas),
            value=0 if call else amount,
            input=call,
        )

    # --- blocks ---

    def _mine_what_waits(self, deadline: float) -> None:
        """Mine what waits now: it would be mined beside our transaction, and may pay the account.

        What waits for a missing nonce stays. The block of a round that was open already may hold less than what waits,
        so one block that takes nothing is not the end.
        """
        waiting, idle = self._parts.pool.totals()[0], 0
        while waiting and idle < 2:
            self._mine(deadline)
            left = self._parts.pool.totals()[0]
            idle = 0 if left < waiting else idle + 1
            waiting = left

    def _await(self, ids: Sequence[str], deadline: float) -> None:
        """Wait until blocks hold the transactions; ask for blocks unless auto-mining makes them. Else withdraw them."""
        parts = self._parts
        try:
            for _ in range(_PAUSES_FOR_AUTOMINE if parts.modes.automine() else 0):
                if self._are_mined(ids):
                    return
                parts.clock.sleep(_PAUSE)
            while not self._are_mined(ids) and parts.clock.now() < deadline:
                self._mine(deadline)
        except NodeError:
            self._withdraw(ids)
            raise
        if not self._are_mined(ids):
            self._withdraw(ids)
            if not self._are_mined(ids):
                raise BalanceRefused(
                    f"No block held the transaction within {PATIENCE:g} seconds, so it was withdrawn: is the chain's "
                    "difficulty too high for this, or a worker stuck?"
                )

    def _mine(self, deadline: float) -> None:
        """Ask for one block, and wait for it."""
        parts = self._parts
        parts.requests.wait(parts.requests.ask(), max(0.0, deadline - parts.clock.now()))

    def _are_mined(self, ids: Sequence[str]) -> bool:
        return len(self._parts.chain.locate_many(list(ids))) == len(set(ids))

    def _withdraw(self, ids: Sequence[str]) -> None:
        if ids and self._parts.mempool.take_out(ids, "withdrawn: the balance could not be set"):
            self._parts.rounds.renew()
