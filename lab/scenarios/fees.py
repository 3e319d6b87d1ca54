"""A block that earned a high fee is worth replacing.

Somebody pays a fee of many block rewards. Whoever finds the next block earns it, and a miner with the part `q` of the
hash rate may try to have it instead: it works on the parent of that block, includes the payment itself, and hopes to
be faster than the others. It gives up when it is two blocks behind.

On a chain whose rewards are small beside the fees, miners would rather undo each other's blocks than go on.
"""

from lab.formulas import snipe_chance
from lab.interface import Lab, LabNode
from lab.measures import share_hash_rate
from lab.strategies import FeeSniper
from shared.amounts import COIN

FIDELITY = "tree"
PATIENCE = 10_000_000.0  # seconds


def run(lab: Lab, *, nodes: int = 3, q: float = 0.3, fee: int = 20, blocks: int = 1000) -> None:
    """
    Args:
        fee: coins. Node 2 must earn them first.
    """
    sniper = FeeSniper(least=fee * COIN)
    payer = lab.node(2)
    share_hash_rate(lab, {1: q})
    lab.strategy(1, sniper)
    while len(lab.blocks()) <= blocks:
        lab.wait(lambda: payer.balance(payer.wallet) > (fee + 1) * COIN, within=PATIENCE, until="node 2 has coins")
        pay_and_wait(lab, payer, fee)
    lab.strategy(1, None)
    tried = sniper.won + sniper.lost
    lab.measure(
        f"blocks with a high fee that {q:.0%} of the hash rate replaces",
        sniper.won / tried if tried else 0.0,
        expected=snipe_chance(q),
        trials=tried,
    )


def pay_and_wait(lab: Lab, payer: LabNode, fee: int) -> None:
    """Pay with a high fee, and let the fight for it end."""
    payment = payer.send(payer, "0.5", fee=fee)
    lab.wait(lambda: (payer.depth(payment) or 0) >= 6, within=PATIENCE, until="the payment is confirmed")
