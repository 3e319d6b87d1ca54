"""What miners do with the blocks that they find: small classes, to be read and copied.

A strategy has a `name` and two methods, `on_found` and `on_heard`; `lab.strategy` says what they are given and what
they may answer. Two more methods are optional: `timestamp` chooses the times of the miner's blocks, `takes` refuses
payments. An object serves one node, and may keep what it likes between calls.

- `honest`: publishes each block at once
- `majority`: has more than half of the hash rate, and rewrites whatever it likes
- `selfish`: withholds blocks so that others work in vain (Eyal and Sirer, 2014)
- `selfish_low_hash`: the same, only with blocks that would win a tie
- `double_spend`: undoes a payment after its confirmations (Rosenfeld, 2014)
- `fee_sniping`: replaces a block that earned high fees
- `censor`: does not build on blocks with certain payments
- `time_lies`: writes false timestamps
"""

from collections.abc import Callable

from lab.strategies.censor import Censor
from lab.strategies.double_spend import DoubleSpender
from lab.strategies.fee_sniping import FeeSniper
from lab.strategies.honest import Honest
from lab.strategies.majority import Majority
from lab.strategies.selfish import Selfish
from lab.strategies.selfish_low_hash import SelfishLowHash
from lab.strategies.time_lies import LIES, TimeLiar
from lab.strategy import Strategy

# What the lab's page offers: strategies that a person can watch without saying more.
OFFERED: dict[str, Callable[[], Strategy]] = {
    "selfish": Selfish,
    "selfish_low_hash": SelfishLowHash,
    "majority": Majority,
}

__all__ = [
    "LIES",
    "OFFERED",
    "Censor",
    "DoubleSpender",
    "FeeSniper",
    "Honest",
    "Majority",
    "Selfish",
    "SelfishLowHash",
    "TimeLiar",
]
