"""A miner that keeps its blocks to itself earns more than its share.

Node 1 has the part `alpha` of the hash rate and mines as I. Eyal and E. G. Sirer describe it (2014): it shows a block
only when others find one of the same height, so that the work of the others is in vain. Half of the others see its
block first (γ = 1/2 in their equation 8): our rule for ties takes the lower hash, which is as good as a coin.

Below a quarter of the hash rate it loses by this, above it wins. Try `--set alpha=0.2` and `--set alpha=0.4`. Then
try `--set low_hash=true`: it withholds only blocks that would probably win a tie, and profits from less than a
quarter.
"""

from lab.formulas import selfish_low_hash_revenue, selfish_revenue
from lab.interface import Lab
from lab.measures import require_at_least, revenue_share, share_hash_rate
from lab.strategies import Selfish, SelfishLowHash

FIDELITY = "tree"
PATIENCE = 10_000_000.0  # seconds


def run(lab: Lab, *, nodes: int = 2, alpha: float = 0.33, blocks: int = 5000, low_hash: bool = False) -> None:
    require_at_least(1, blocks=blocks)
    share_hash_rate(lab, {1: alpha})
    lab.strategy(1, SelfishLowHash() if low_hash else Selfish())
    lab.wait(lambda: len(lab.blocks()) > blocks, within=PATIENCE, until=f"{blocks} blocks were found")
    lab.strategy(1, None)
    lab.measure(
        f"share of the chain's blocks with {alpha:.0%} of the hash rate",
        revenue_share(lab.blocks(), 1),
        expected=selfish_low_hash_revenue(alpha) if low_hash else selfish_revenue(alpha),
    )
