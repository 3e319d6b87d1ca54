"""More than half of the hash rate rewrites whatever it likes.

Node 1 has the part `share` of the hash rate, more than half. It parts from the network and works alone, while the
others find `depth` blocks. Sooner or later its branch is the longer one, and when it comes back, all nodes must
follow: the rule that heals forks does not ask who made them. Try `--set share=0.45`: then it may never catch up, and
the run says so.
"""

from lab.interface import Lab
from lab.measures import require_at_least, share_hash_rate

FIDELITY = "tree"
PATIENCE = 100_000.0  # seconds


def run(lab: Lab, *, nodes: int = 3, share: float = 0.6, depth: int = 6, blocks: int = 2000) -> None:
    require_at_least(1, depth=depth)
    attacker, witness = lab.node(1), lab.node(2)
    share_hash_rate(lab, {1: share})
    lab.wait(lambda: witness.tip().height > 2, within=PATIENCE, until="the chain has begun")
    fork = witness.tip()
    lab.say(f"Node 1 leaves with {share:.0%} of the hash rate.")
    lab.partition([1], range(2, nodes + 1))
    lab.wait(
        lambda: (
            (witness.tip().height - fork.height >= depth and attacker.tip().chainwork > witness.tip().chainwork)
            or len(lab.blocks()) > blocks
        ),
        within=PATIENCE,
        until="it has come back",
    )
    lost = witness.tip().height - fork.height
    stronger = attacker.tip().chainwork > witness.tip().chainwork
    lab.check(f"with {share:.0%} of the hash rate, node 1 rewrites at least {depth} blocks", stronger, lost)
    lab.say(f"Node 1 comes back. The others have found {lost} blocks since.")
    lab.heal()
    lab.wait(lambda: len({node.tip().hash for node in lab.nodes}) == 1, within=PATIENCE, until="all have one tip")
    kept = {block.hash for block in lab.blocks() if block.finder == 1}
    lab.check("all nodes follow the branch with more work", not stronger or witness.tip().height > fork.height)
    lab.check("the attacker's blocks are in the tree", bool(kept))
