"""What the rule for two tips with equal work is worth to attackers: ours and three others, in the lab's simulation.

ADR 17 has the conclusions. The double spender knows the rule, and takes the ties that it gives.
"""

import os
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from hashlib import sha256
from typing import Any

from benchmarks import lab_theory
from benchmarks.report import Result
from lab import formulas
from lab.simulated.tree.blocks import Block
from lab.simulated.tree.links import Links
from lab.simulated.tree.network import Network
from lab.strategies import DoubleSpender, Selfish, SelfishLowHash
from shared.forkchoice import TipClaim, is_better

# Intervals without a better block after which the last rule decides a tie by the hash.
IDLE = 6.0


def first_seen(candidate: TipClaim, current: TipClaim) -> bool:
    """More work only."""
    return candidate.chainwork > current.chainwork


def both_hashes(candidate: TipClaim, current: TipClaim) -> bool:
    """A tie is decided by a hash of both tips: nobody knows what it gives before both are known."""
    if candidate.chainwork != current.chainwork:
        return candidate.chainwork > current.chainwork
    low, high = sorted((candidate.hash, current.hash))
    return candidate.hash == (low, high)[sha256(f"{low}{high}".encode()).digest()[0] & 1]


class LateTies(Network):
    """First seen; a tie that is still one after `IDLE` intervals is decided by the lower hash."""

    def _arrive(self, block: Block, source: int, targets: tuple[int, ...]) -> None:
        super()._arrive(block, source, targets)
        for target in targets:
            current = self.nodes[target].public
            if current is not block and current.claim.chainwork == block.claim.chainwork:
                self.at(self.now + IDLE, self._decide, target, block, current)

    def _decide(self, target: int, block: Block, current: Block) -> None:
        node = self.nodes[target]
        if node.miner is None and node.tip is current and is_better(block.claim, current.claim):
            self.move(target, block)


RULES: dict[str, tuple[type[Network], lab_theory.Rule]] = {
    "lower hash (ours)": (Network, is_better),
    "first seen": (Network, first_seen),
    "hash of both tips": (Network, both_hashes),
    "first seen, lower hash when idle": (LateTies, first_seen),
}
REVENUES = tuple((name, alpha) for alpha in (0.15, 0.2, 0.3) for name in ("selfish", "low"))
SPENDS = ((0.15, 2), (0.3, 6))


def _network(rule: str, rates: list[float], seed: int, **more: Any) -> Network:
    make, better = RULES[rule]
    return make(rates, spec=lab_theory.SPEC, seed=seed, better=better, first=lab_theory.FIRST, **more)


def revenue(rule: str, attacker: str, alpha: float, blocks: int, seed: int) -> float:
    """The attacker's share of the chain."""
    strategy = Selfish() if attacker == "selfish" else SelfishLowHash()
    rates = [alpha * lab_theory.DIFFICULTY, (1 - alpha) * lab_theory.DIFFICULTY]
    network = _network(rule, rates, seed, strategies={0: strategy})
    network.run(blocks=blocks)
    chain = list(network.best().ancestors())[:-1]
    return sum(block.finder == 0 for block in chain) / len(chain)


def double_spend(rule: str, q: float, confirmations: int, seed: int) -> bool:
    """Whether an attacker that also takes ties succeeds."""
    spender = DoubleSpender(confirmations, ties=True, better=RULES[rule][1])
    rates = [q * lab_theory.DIFFICULTY, (1 - q) * lab_theory.DIFFICULTY]
    network = _network(rule, rates, seed, strategies={0: spender})
    network.run(stop=lambda: spender.won + spender.lost > 0)
    return spender.won > 0


def split(rule: str, seed: int) -> bool:
    """Whether three equal nodes have different tips after 20 blocks and a long silence; a delay of half an interval."""
    network = _network(rule, [lab_theory.DIFFICULTY / 3] * 3, seed, links=Links(3, 0.5))
    network.run(blocks=20)
    network.settle()
    network.reconnect()  # each tells the others once more
    network.settle()
    return len({node.tip.hash for node in network.nodes}) > 1


def run(say: Callable[[str], None], quick: bool = False) -> list[Result]:
    """Result "tie_rules"."""
    result = Result("tie_rules")
    seeds, blocks, attempts = (4, 10_000, 300) if quick else (8, 15_000, 2000)
    head = [f"{name} {alpha:.2f}" for name, alpha in REVENUES]
    result.notes.append("revenue of selfish miners (all blocks; only those with low hashes), by share of the hash rate")
    result.notes.append(f"{'':34}" + "".join(f"{text:<14}" for text in head).rstrip())
    spends: list[str] = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for rule in RULES:
            say(rule)
            cells = []
            for name, alpha in REVENUES:
                found = statistics.fmean(pool.map(partial(revenue, rule, name, alpha, blocks), range(seeds)))
                cells.append(found)
                if rule == "lower hash (ours)" and name == "low" and alpha == 0.2:
                    result.add("low_hash_0.20", found, "of the chain", than="honest: 0.20")
            result.notes.append(f"{rule:34}" + "".join(f"{cell:<14.4f}" for cell in cells).rstrip())
            chances = [
                sum(pool.map(partial(double_spend, rule, q, z), range(attempts), chunksize=100)) / attempts
                for q, z in SPENDS
            ]
            apart = sum(pool.map(partial(split, rule), range(attempts), chunksize=100)) / attempts
            spends.append(f"{rule:34}" + "".join(f"{chance:<18.4f}" for chance in chances) + f"{apart:.4f}")
    result.notes.append("double spends that take ties, and idle networks of three nodes that stay apart")
    result.notes.append(f"{'':34}" + "".join(f"q = {q:.2f}, z = {z}   " for q, z in SPENDS) + "apart")
    result.notes += spends
    exact = "".join(f"{formulas.double_spend(q, z):<18.4f}" for q, z in SPENDS)
    result.notes.append(f"{'without ties (Rosenfeld)':34}{exact}".rstrip())
    return [result]
