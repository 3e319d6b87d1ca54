"""The timestamps of a simulated miner's blocks: the true time, or what its strategy claims."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lab.guard import TooLate, time_of
from lab.strategy import TellsTime, Times
from shared.block import Header, Template
from shared.chain_spec import ChainSpec
from shared.keys import KeyPair
from shared.rules.standard import StandardRules
from shared.timestamps import max_ahead, median_time
from shared.transaction import Transaction


class MinersRules(StandardRules):
    """The rules of a chain, by which one miner makes its blocks. A block of another miner is judged as everywhere.

    Args:
        right: the difficulty at which blocks come at the spec's interval now.
        failed: called with a sentence if the strategy cannot tell the time; it is not asked again.
    """

    def __init__(self, spec: ChainSpec, right: Callable[[], float], failed: Callable[[str], None]) -> None:
        super().__init__(spec)
        self.liar: TellsTime | None = None  # the node's strategy, if it chooses timestamps
        self._right = right
        self._failed = failed

    def template(
        self,
        window: Sequence[Header],
        transactions: Sequence[Transaction],
        recipient: str,
        now: float,
        sealer: KeyPair | None = None,
    ) -> Template:
        return super().template(window, transactions, recipient, self._claimed(window, int(now)), sealer)

    def _claimed(self, window: Sequence[Header], now: int) -> int:
        liar = self.liar
        if liar is None:
            return now
        earliest = median_time(window)
        latest = max(now + max_ahead(self.spec.block_interval), earliest)
        try:
            return time_of(liar, Times(window, now, earliest, latest, self._right(), self.spec))
        except TooLate as error:
            problem = str(error).removeprefix("it ")
        except Exception as error:
            problem = f"raised {type(error).__name__}: {error}"
        self.liar = None
        self._failed(f"{problem} in timestamp")
        return now
