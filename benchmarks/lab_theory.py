"""What the lab's tree simulation gives for the cases that theory has a formula for. Tests use short slices of it.

Each function is one run of one seed; `benchmarks.lab` repeats them and judges.
"""

import time
from collections.abc import Callable

from lab.simulated.tree.blocks import genesis
from lab.simulated.tree.links import Links
from lab.simulated.tree.network import Network
from lab.strategies import DoubleSpender, Selfish, SelfishLowHash, TimeLiar
from lab.strategies.time_lies import Lie
from lab.strategy import Strategy
from shared.chain_spec import ChainSpec
from shared.forkchoice import TipClaim, is_better

DIFFICULTY = 1_000_000
SPEC = ChainSpec(name="lab", chain_id=847734, genesis_timestamp=1767225600, difficulty=DIFFICULTY)
FIRST = genesis(SPEC)  # its hash costs more than a whole attempt of a double spend
SETTLED = 200  # blocks before the interval is measured

Rule = Callable[[TipClaim, TipClaim], bool]


def _attacked(share: float, strategy: Strategy, seed: int, better: Rule = is_better, spec: ChainSpec = SPEC) -> Network:
    """One attacker, which is node 0, and one node for all others; a block a second."""
    rates = [share * spec.difficulty, (1 - share) * spec.difficulty]
    return Network(rates, spec=spec, seed=seed, strategies={0: strategy}, better=better, first=FIRST)


def stale_share(delay: float, seed: int, blocks: int) -> float:
    """Stale blocks among all, for two equal miners at a mean interval of 1 s."""
    network = Network([DIFFICULTY / 2] * 2, spec=SPEC, seed=seed, links=Links(2, delay), first=FIRST)
    network.run(blocks=blocks)
    network.settle()
    return 1 - (network.best().height - FIRST.height) / blocks


def double_spend(q: float, confirmations: int, ties: bool, seed: int, better: Rule = is_better) -> bool:
    """Whether the first attempt succeeds."""
    spender = DoubleSpender(confirmations, ties=ties, better=better)
    network = _attacked(q, spender, seed, better)
    network.run(stop=lambda: spender.won + spender.lost > 0)
    return spender.won > 0


def revenue(strategy: Strategy, alpha: float, seed: int, blocks: int, better: Rule = is_better) -> float:
    """The attacker's share of the chain's blocks."""
    network = _attacked(alpha, strategy, seed, better)
    network.run(blocks=blocks)
    network.settle()
    chain = list(network.best().ancestors())[:-1]
    return sum(block.finder == 0 for block in chain) / len(chain)


def selfish(alpha: float, seed: int, blocks: int) -> float:
    return revenue(Selfish(), alpha, seed, blocks)


def selfish_low_hash(alpha: float, seed: int, blocks: int) -> float:
    return revenue(SelfishLowHash(), alpha, seed, blocks)


def interval(share: float, lie: str | Lie, seed: int, blocks: int, target: int = 10) -> float:
    """The mean seconds between blocks, in intervals, while a share of the hash rate lies about time."""
    spec = ChainSpec(name="liars", chain_id=7, genesis_timestamp=10**6, difficulty=DIFFICULTY, block_interval=target)
    rate = DIFFICULTY / target
    network = Network([share * rate, (1 - share) * rate], spec=spec, seed=seed, strategies={0: TimeLiar(lie)})
    network.run(blocks=SETTLED)
    began = network.now
    network.run(blocks=blocks)
    return (network.now - began) / blocks / target


def blocks_per_second(nodes: int, blocks: int, *, attacked: bool = False, seed: int = 1) -> float:
    """Blocks per second of processor time, with a delay of a tenth of the interval on every link."""
    network = Network(
        [DIFFICULTY / nodes] * nodes,
        spec=SPEC,
        seed=seed,
        links=Links(nodes, 0.1),
        strategies={0: Selfish()} if attacked else None,
        first=FIRST,
    )
    began = time.process_time()
    network.run(blocks=blocks)
    return blocks / (time.process_time() - began)
