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
from lab.interface import Lab, LabBlock, LabNode
from lab.measures import require_at_least, share_hash_rate
from shared.amounts import COIN

FIDELITY = "tree"
AMOUNT = "0.001"  # so little that one block pays for many attempts, also for those in which the shop keeps it
PATIENCE = 100_000.0  # seconds


def run(lab: Lab, *, nodes: int = 3, q: float = 0.3, z: int = 2, blocks: int = 200) -> None:
    require_at_least(1, z=z)
    attacker, shop = lab.node(1), lab.node(2)
    share_hash_rate(lab, {1: q})
    lab.say(f"Node 1 has {q:.0%} of the hash rate. The shop, node 2, believes {z} confirmations.")
    attempts = successes = 0
    while attempts == 0 or len(lab.blocks()) < blocks:
        attempts += 1
        successes += attack(lab, attacker, shop, z)
    lab.heal()
    lab.measure(
        f"attacks that undo {z} confirmations with {q:.0%} of the hash rate",
        successes / attempts,
        expected=double_spend(q, z, GIVE_UP),
        trials=attempts,
    )


def attack(lab: Lab, attacker: LabNode, shop: LabNode, z: int) -> bool:
    """Pay the shop and try to undo it; whether that succeeded."""
    fork = find_secret_block(lab, attacker, shop)
    nonce = attacker.next_nonce()
    payment = attacker.send(shop, AMOUNT, nonce=nonce, at=shop)
    attacker.send(attacker, AMOUNT, nonce=nonce)  # the same coins, on the secret branch

    def stronger() -> bool:
        return attacker.tip().chainwork > shop.tip().chainwork

    def decided() -> bool:
        confirmed = shop.tip().height - fork.height
        return (confirmed >= z and stronger()) or shop.tip().height - attacker.tip().height >= GIVE_UP

    lab.wait(decided, within=PATIENCE, until="the attack has succeeded or failed")
    if not stronger():
        return False
    lab.say(f"The payment has {shop.depth(payment)} confirmations. The attacker shows its branch.")
    lab.heal()
    lab.wait(lambda: not shop.depth(payment), within=PATIENCE, until="the payment is undone")
    return True


def find_secret_block(lab: Lab, attacker: LabNode, shop: LabNode) -> LabBlock:
    """Have the attacker find a block that nobody knows; its parent. When the others are faster, it begins again."""
    others = range(2, len(lab.nodes) + 1)
    while True:
        lab.heal()
        lab.wait(
            lambda: attacker.tip() == shop.tip() and shop.balance(attacker.wallet) >= COIN // 100,
            within=PATIENCE,
            until="both have one tip, and the attacker has coins",
        )
        fork = shop.tip()
        lab.partition([1], others)
        lab.wait(lambda: attacker.tip() != shop.tip(), within=PATIENCE, until="a block is found")
        if shop.tip() == fork:
            return fork
