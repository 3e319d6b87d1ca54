"""Selfish mining that makes use of the tie rule: the lower hash wins (`shared/forkchoice.py`)."""

from lab.strategies.selfish import Selfish
from lab.strategy import View


class SelfishLowHash(Selfish):
    """Withholds a block only if its hash lies in the lowest `part` of all valid hashes; it then wins most ties.

    A selfish miner loses where it shows its block too late. One that knows that it wins the tie in seven of eight
    cases loses little, and so gains with less than a quarter of the hash rate.
    """

    name = "selfish, low hashes only"

    def __init__(self, part: float = 0.25) -> None:
        super().__init__()
        self._valid = int(part * (1 << 256))  # the hashes below this one, at difficulty 1

    def withholds(self, view: View) -> bool:
        if len(view.private) > 1:  # its predecessor is in store already
            return True
        difficulty = view.block.chainwork - view.fork.chainwork
        return int(view.block.hash, 16) * difficulty < self._valid
