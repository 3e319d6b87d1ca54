"""News that travels slowly makes blocks stale.

All nodes have the same hash rate, and a block comes every `interval` seconds. Each message takes `delay` seconds from
one node to another. Whoever finds a block before it has heard of the last one works on an older tip, and one of the two
blocks is in vain. With two nodes, the share of such blocks is τ / (2 (T + τ)), where T is the interval and τ the time
that a block takes to the other node: 4.5 % at a tenth of the interval.

In the statistical simulation a block is one message, so τ is the delay. Nodes with code of their own ask for headers
and then for the block, which takes seven messages, and they ask a peer once a second at most. So τ is measured: from
the finding of each block until the other node had it. On real nodes T is measured too, since they reach their limits
of the hash rate only where the machine has time for all of them.

This is why blocks of a chain cannot come as fast as one likes. Try `--set delay=1`. On real nodes, 100 blocks take
some minutes: `quarry lab run latency --set blocks=100 --set delay=0.1`.
"""

from lab.formulas import stale_rate
from lab.interface import Lab
from lab.measures import require_at_least, share_hash_rate, stale_share

FIDELITY = "tree"
PATIENCE = 10_000_000.0  # seconds


def run(lab: Lab, *, nodes: int = 2, delay: float = 0.2, interval: float = 2.0, blocks: int = 5000) -> None:
    require_at_least(0.01, interval=interval)
    require_at_least(1, blocks=blocks)
    share_hash_rate(lab, {}, interval)
    for a in lab.nodes:
        for b in lab.nodes:
            if a is not b:
                lab.link(a.number, b.number).set(latency=delay)
    began, before = lab.now, len(lab.blocks())
    lab.wait(lambda: len(lab.blocks()) > blocks, within=PATIENCE, until=f"{blocks} blocks were found")
    found = lab.blocks()
    spread = lab.propagation()
    pace = (lab.now - began) / (len(found) - before) if lab.world == "real" else interval
    lab.say(f"A block came every {pace:.2f} s, and took {spread or 0:.2f} s to the other nodes.")
    lab.measure(
        f"stale blocks at a delay of {delay / interval:.2g} intervals",
        stale_share(found),
        expected=stale_rate(pace, spread) if nodes == 2 and spread is not None else None,
        trials=len(found) - 1,
    )
