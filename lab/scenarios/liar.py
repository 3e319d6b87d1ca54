"""Peers claim a chain that is far longer than any other, and have done no work for it.

A claim costs nothing: anyone may say that its chain has a thousand blocks more. A node must not believe it, and it must
not waste its time on it either. It asks for the headers first and looks at the first proof. A hash that is not small
enough was not worked for, so the node knows the peer for a liar, does not ask it again for a while, and goes on with
the honest ones.

The block tree shows the first block of each such chain crossed out, with the rule that it breaks. No node takes it.

Try `--set liars=8`, or `--set claimed=100000`.
"""

from lab.interface import Lab
from lab.measures import require_at_least


def run(lab: Lab, *, nodes: int = 4, liars: int = 2, claimed: int = 1000, blocks: int = 30) -> None:
    """
    Args:
        liars: how many such peers come.
        claimed: how many blocks more than the best chain each of them claims.
        blocks: how many blocks longer every node's chain gets while they are about.
    """
    require_at_least(1, blocks=blocks)
    lab.wait(lambda: lab.node(1).tip().height > 3, within=120, until="there is a chain to lie about")

    lab.say(f"{liars} peers claim chains with {claimed:,} blocks more than the best one.")
    for _ in range(liars):
        lab.lie(claimed)
    began, before = lab.now, [node.tip().height for node in lab.nodes]
    lab.wait(
        lambda: all(node.tip().height - height >= blocks for node, height in zip(lab.nodes, before, strict=True)),
        within=60 * blocks,
        until=f"every node's chain is {blocks} blocks longer",
    )

    grown = [node.tip().height - height for node, height in zip(lab.nodes, before, strict=True)]
    lab.check("every node goes on with the honest chain", all(each > 0 for each in grown))
    strange = [block for block in lab.blocks()[1:] if block.finder is None]
    lab.check("no node takes a block that nobody worked for", not strange)
    lab.measure("seconds for a block, with liars about", (lab.now - began) / max(1, max(grown)))

    lab.mining(False)
    lab.wait(lambda: agree(lab), within=180, until="all nodes have the same tip")
    lab.check("all nodes have the same tip", True)


def agree(lab: Lab) -> bool:
    """Whether all nodes have the same tip."""
    return len({node.tip().hash for node in lab.nodes}) == 1
