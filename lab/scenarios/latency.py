"""News that travel slowly make blocks stale.

All nodes have the same hash rate, and a block comes every `interval` seconds. Each block takes `delay` seconds to
reach the others. Whoever finds a block meanwhile works on an older tip, and one of the two blocks is in vain. With
two nodes, the share of such blocks is τ / (2 (T + τ)), where τ is the delay and T the interval: 4.5 % at a tenth of
the interval.

This is why blocks of a chain cannot come as fast as one likes. Try `--set delay=1`.
"""

from lab.formulas import stale_rate
from lab.interface import Lab
from lab.measures import share_hash_rate, stale_share

FIDELITY = "tree"
PATIENCE = 10_000_000.0  # seconds


def run(lab: Lab, *, nodes: int = 2, delay: float = 0.2, interval: float = 2.0, blocks: int = 5000) -> None:
    share_hash_rate(lab, {}, interval)
    for a in lab.nodes:
        for b in lab.nodes:
            if a is not b:
                lab.link(a.number, b.number).set(latency=delay)
    lab.wait(lambda: len(lab.blocks()) > blocks, within=PATIENCE, until=f"{blocks} blocks were found")
    lab.measure(
        f"stale blocks at a delay of {delay / interval:.2g} intervals",
        stale_share(lab.blocks()),
        expected=stale_rate(interval, delay) if nodes == 2 else None,
    )
