"""Kill every node in turn while payments are made, and see that nothing is lost.

A node that has answered "accepted" to a payment has made a promise: the payment will be mined, or the node can say why
not. It must keep it even if the power fails in the next moment. Here each node is killed just after it has accepted a
payment, and stays away while the others go on. Then it starts again with what it had stored, and catches up.

At the end nobody mines, all nodes have the same chain, and every accepted payment is in it. All coins are counted:
there must be exactly the rewards of all blocks, no more and no less.

Try `--set away=60` to keep each node away for longer, and `--set blocks=6` to see each payment confirmed six times.
"""

from lab.interface import Lab
from lab.measures import require_at_least


def run(lab: Lab, *, nodes: int = 4, away: float = 5.0, blocks: int = 1) -> None:
    """
    Args:
        away: seconds for which each node is dead.
        blocks: confirmations that every payment gets at the end.
    """
    require_at_least(1, blocks=blocks)
    lab.say("Every node earns some coins.")
    for node in lab.nodes:
        node.mine()
    lab.wait(
        lambda: all(node.balance(other.wallet) > 0 for node in lab.nodes for other in lab.nodes),
        within=300,  # a block that was found at the same time as another one may be worth nothing
        until="all nodes know that every node has coins",
    )

    accepted: list[str] = []
    for victim in lab.nodes:
        friend = lab.node(victim.number % nodes + 1)
        accepted.append(victim.send(friend, "0.1"))
        lab.say(f"The power of {victim.name} fails. It has just accepted a payment.")
        victim.kill()
        accepted.append(friend.send(victim, "0.05"))
        lab.run_for(away)
        victim.start()

    lab.say("All nodes are back. Every payment must be mined.")
    lab.wait(
        lambda: all((node.depth(payment) or 0) >= blocks for node in lab.nodes for payment in accepted),
        within=300 * blocks,
        until="every accepted payment is in every chain",
    )
    lab.check("every payment that was accepted is mined", True, value=len(accepted))

    lab.mining(False)
    lab.wait(lambda: agree(lab), within=180, until="all nodes have the same tip")
    lab.check("all nodes have the same tip", True)
    minted = (lab.node(1).tip().height - 1) * lab.spec.reward  # genesis, the first block, has no reward
    held = [sum(node.balance(other.wallet) for other in lab.nodes) for node in lab.nodes]
    lab.check("no coin was lost or made", all(each == minted for each in held))


def agree(lab: Lab) -> bool:
    """Whether all nodes have the same tip."""
    return len({node.tip().hash for node in lab.nodes}) == 1
