"""Cut a network in two, pay the same coins on both sides, and see what is left after healing.

While a network is in two parts, nobody on one side can tell that the other one still works. Both go on mining, and both
confirm payments. Here one wallet signs two payments with the same nonce, so only one of them can ever be valid: one is
given to the left side and one to the right. Each side confirms its own.

Then the link is restored. The nodes compare the work behind the two branches and take the one with more; if both have
the same, the one whose tip has the lower hash. The blocks of the other side are undone, and the payment in them with
them. Whoever delivered goods for it has lost them, however many confirmations there were. That is what a partition does
to a shop.

Try `--set blocks=10` for a longer partition, and `--set left=1` for unequal sides: whose payment survives now?
"""

from lab.interface import Lab
from lab.measures import require_at_least
from shared.forkchoice import TipClaim, is_better


def run(lab: Lab, *, nodes: int = 4, left: int = 2, blocks: int = 3) -> None:
    """
    Args:
        left: how many nodes are on the left side. Node 1, which pays, is one of them.
        blocks: confirmations that both payments get before the sides meet again.
    """
    require_at_least(1, left=left, blocks=blocks)
    sides = [list(range(1, left + 1)), list(range(left + 1, nodes + 1))]
    payer, here, there = lab.node(1), lab.node(left), lab.node(nodes)

    lab.say("Node 1 earns the coins that it will spend twice.")
    payer.mine()
    lab.wait(lambda: agree(lab) and there.balance(payer.wallet) > 0, within=120, until="all nodes know of its coins")

    lab.say("The network falls apart, and each side gets a payment of the same coins.")
    lab.partition(*sides)
    nonce = payer.next_nonce()
    on_the_left = payer.send(here, "0.5", nonce=nonce)
    on_the_right = payer.send(there, "0.25", nonce=nonce, at=there)
    lab.wait(
        lambda: (here.depth(on_the_left) or 0) >= blocks and (there.depth(on_the_right) or 0) >= blocks,
        within=120 * blocks,
        until=f"each side has confirmed its payment {blocks} times",
    )
    lab.check("both sides confirm a payment of the same coins", True)

    lab.say("Nobody mines any more, and the sides meet again.")
    lab.mining(False)
    lab.run_for(2)  # the last blocks are found
    lab.wait(
        lambda: all(len({lab.node(number).tip().hash for number in side}) == 1 for side in sides),
        within=120,
        until="the last blocks have arrived on their own sides",
    )
    one, other = here.tip(), there.tip()
    left_is_better = is_better(TipClaim(one.chainwork, one.hash), TipClaim(other.chainwork, other.hash))
    best, undone = (one, on_the_right) if left_is_better else (other, on_the_left)
    lab.heal()
    lab.wait(lambda: agree(lab), within=180, until="all nodes have the same tip")

    lab.check("all nodes take the branch with more work", all(node.tip().hash == best.hash for node in lab.nodes))
    confirmed = [
        [payment for payment in (on_the_left, on_the_right) if (node.depth(payment) or 0) > 0] for node in lab.nodes
    ]
    lab.check("exactly one of the two payments is left, the same at every node", all(
        len(each) == 1 and each == confirmed[0] for each in confirmed
    ))  # fmt: skip
    lab.check("the other payment was undone after its confirmations", all(undone not in each for each in confirmed))


def agree(lab: Lab) -> bool:
    """Whether all nodes have the same tip."""
    return len({node.tip().hash for node in lab.nodes}) == 1
