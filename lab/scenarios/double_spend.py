"""An attacker pays a shop, and takes the payment back after the shop has believed it.

Node 1 is the attacker, with the part `q` of the hash rate. The shop trusts a payment with `z` confirmations. Before
it pays, the attacker parts from the network and finds one block that nobody knows. Then it pays in public, and mines
on in secret, on a branch in which the coins go back to itself. When the shop has its confirmations and the secret
branch has more work, the attacker shows it: the payment is undone by proof of work, and no rule was broken. If it
falls 60 blocks behind, it gives up.

M. Rosenfeld (2014) gives the chance by which this succeeds. Try `--set z=6`: it falls with each confirmation. Try
`--set q=0.45`: it hardly falls.
"""

from lab.formulas import GIVE_UP, double_spend
from lab.interface import Lab
from lab.measures import share_hash_rate

FIDELITY = "tree"
AMOUNT = "0.5"
PATIENCE = 100_000.0  # seconds


def run(lab: Lab, *, nodes: int = 3, q: float = 0.3, z: int = 2, blocks: int = 200) -> None:
    attacker, shop = lab.node(1), lab.node(2)
    everyone = range(1, nodes + 1)
    share_hash_rate(lab, {1: q})
    lab.say(f"Node 1 has {q:.0%} of the hash rate. The shop, node 2, believes {z} confirmations.")
    lab.wait(lambda: shop.balance(attacker.wallet) > 0, within=PATIENCE, until="the attacker has coins")
    attempts = successes = 0
    while attempts == 0 or len(lab.blocks()) < blocks:
        # One secret block first. Whenever the others are faster, begin again on their block.
        while True:
            lab.heal()
            lab.wait(lambda: attacker.tip() == shop.tip(), within=PATIENCE, until="all have one tip")
            fork = shop.tip()
            lab.partition([1], everyone[1:])
            lab.wait(lambda: attacker.tip() != fork or shop.tip() != fork, within=PATIENCE, until="a block is found")
            if shop.tip() == fork:
                break
        nonce = attacker.next_nonce()
        payment = attacker.send(shop, AMOUNT, nonce=nonce, at=shop)
        attacker.send(attacker, AMOUNT, nonce=nonce)
        lab.wait(
            lambda: (
                (shop.tip().height - fork.height >= z and attacker.tip().chainwork > shop.tip().chainwork)
                or shop.tip().height - attacker.tip().height >= GIVE_UP
            ),
            within=PATIENCE,
            until="the attack has succeeded or failed",
        )
        attempts += 1
        if attacker.tip().chainwork > shop.tip().chainwork:
            successes += 1
            lab.say("The shop has delivered. The attacker shows its branch.")
            believed = shop.depth(payment)
            lab.heal()
            lab.wait(lambda: not shop.depth(payment), within=PATIENCE, until="the payment is undone")
            lab.check("a payment that was undone had its confirmations", believed is not None and believed >= z)
    lab.heal()
    lab.measure(
        f"attacks that undo {z} confirmations with {q:.0%} of the hash rate",
        successes / attempts,
        expected=double_spend(q, z, GIVE_UP),
        trials=attempts,
    )
