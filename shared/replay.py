"""Replaying a chain, from genesis or from a known ledger: what the full check and `quarry chain verify` do, and the
reference of the tests.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

from shared.block import Block, Header
from shared.forkchoice import TipClaim
from shared.ledger import NO_ACCOUNT, Change, Entries
from shared.rules import Rules
from shared.validation import validate


class Replay:
    """A whole ledger in memory. Blocks are added one by one from genesis, and every rule is checked."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.accounts = dict(rules.initial().accounts)
        self.allowances = dict(rules.initial().allowances)
        self.supply = rules.initial().supply
        self.chainwork = 0
        self._window: deque[Header] = deque(maxlen=rules.window_size)

    @classmethod
    def after(cls, rules: Rules, window: Sequence[Header], chainwork: int, ledger: Entries) -> "Replay":
        """A replay that goes on after a block, from the ledger after it. Whether that ledger is right is not checked.

        Args:
            window: the headers that end at the block, as many as the rules need for the next one, oldest first.
            ledger: all entries, without zeros.
        """
        replay = cls(rules)
        replay.accounts, replay.allowances = dict(ledger.accounts), dict(ledger.allowances)
        replay.supply, replay.chainwork = ledger.supply, chainwork
        replay._window.extend(window)
        return replay

    @property
    def tip(self) -> Header | None:
        """The header of the last block; None before genesis."""
        return self._window[-1] if self._window else None

    @property
    def window(self) -> Sequence[Header]:
        """The last headers, oldest first, against which the next block is checked."""
        return tuple(self._window)

    @property
    def claim(self) -> TipClaim:
        """What decides between this chain and another. Known after genesis."""
        assert self._window, "a chain begins with its genesis block"
        return TipClaim(self.chainwork, self._window[-1].hash)

    def add(self, value: Any, now: float | None = None) -> Block:
        """Check and apply the next block, given as its JSON object or, after genesis, as a block that was read.

        Raises:
            RuleError: the rule that it breaks. Nothing has changed.
            TooEarly: its timestamp lies too far after `now`. Nothing has changed.
        """
        return self.step(value, now)[0]

    def step(self, value: Any, now: float | None = None, *, signatures: bool = True) -> tuple[Block, Change]:
        """As `add`, but returns also what the block changed in the ledger.

        Args:
            signatures: False skips `Judging.check_body`, which takes most of the time, for a block whose body was
                checked when it was stored.

        Raises:
            RuleError, TooEarly: as `add`.
        """
        if not self._window:
            return self._add_genesis(value), Change(Entries(), Entries())
        block = value if isinstance(value, Block) else self.rules.read_block(value)
        if signatures:
            change = validate(self.rules, block, self.window, self.known(block), now)
        else:
            self.rules.check_header(block.header, self.window, now)
            change = self.rules.apply(block, self.known(block))
        self._accept(block, change)
        return block, change

    def known(self, block: Block) -> Entries:
        """The entries that `block` touches, and the supply."""
        keys = self.rules.touched(block.transactions)
        return Entries(
            {address: self.accounts.get(address, NO_ACCOUNT) for address in keys.accounts},
            {key: self.allowances.get(key, 0) for key in keys.allowances},
            self.supply,
        )

    def _add_genesis(self, value: Any) -> Block:
        block = self.rules.adopt_genesis(value)
        self._window.append(block.header)
        return block

    def _accept(self, block: Block, change: Change) -> None:
        for address, account in change.after.accounts.items():
            if account == NO_ACCOUNT:
                self.accounts.pop(address, None)
            else:
                self.accounts[address] = account
        for key, amount in change.after.allowances.items():
            if amount:
                self.allowances[key] = amount
            else:
                self.allowances.pop(key, None)
        self.supply = change.after.supply
        self.chainwork += self.rules.work(block.header)
        self._window.append(block.header)
