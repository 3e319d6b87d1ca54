"""The same on real nodes and in the simulation: two samples, from one law as far as a test can tell (p > 0.001)."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import fmean

import pytest

from lab.interface import Lab, LabBlock
from lab.loading import load_scenario
from lab.measures import main_chain, revenue_share, share_hash_rate
from lab.real.lab import RealLab
from lab.recording import VERSION, Recorder
from lab.runner import spec_of
from lab.scenarios.double_spend import attack
from lab.simulated.tree.lab import TreeLab
from lab.strategies import Selfish, TimeLiar
from services.settings.table import load_spec
from shared.chain_spec import ChainSpec
from tests.support.two_samples import among, fisher, kolmogorov_smirnov

LEAST = 0.001
PATIENCE = 1200.0  # seconds
DELAY = 0.1  # of each message, seconds
BLOCKS = 80
ATTEMPTS = 12
LIE = "greatest of the next ten"


def intervals(blocks: Sequence[LabBlock]) -> list[float]:
    """Seconds from each block to the next one that was found, wherever it is in the tree."""
    times = sorted(block.found_at for block in blocks[1:])
    return [later - before for before, later in pairwise(times)]


def stale(blocks: Sequence[LabBlock]) -> int:
    return len(blocks) - len(main_chain(blocks))


def delayed(lab: Lab, delay: float) -> None:
    for a, b in ((1, 2), (2, 1)):
        lab.link(a, b).set(latency=delay)


def simulated(
    seed: int, spec: ChainSpec, pace: float, delay: float, blocks: int, share: float = 0.5, lies: bool = False
) -> Sequence[LabBlock]:
    """The blocks of two miners in the statistical simulation."""
    with TreeLab(2, spec, seed) as lab:
        share_hash_rate(lab, {1: share}, pace)
        delayed(lab, delay)
        if lies:
            lab.strategy(1, TimeLiar(LIE))
        lab.wait(lambda: len(lab.blocks()) > blocks, within=1e9)
        return lab.blocks()


def real(
    spec: ChainSpec, delay: float, blocks: int, directory: Path, share: float = 0.5, lies: bool = False
) -> tuple[Sequence[LabBlock], float]:
    """The blocks of two miners on real nodes, and the seconds that a block took from one to the other."""
    with two_real_nodes(spec, directory) as lab:
        share_hash_rate(lab, {1: share}, 2.0)
        delayed(lab, delay)
        if lies:
            lab.strategy(1, TimeLiar(LIE))
        first = len(lab.blocks())
        lab.wait(lambda: len(lab.blocks()) > first + blocks, PATIENCE)
        assert lab.observations == []
        return lab.blocks()[first - 1 :], lab.propagation() or 0.0


@contextmanager
def two_real_nodes(spec: ChainSpec, directory: Path) -> Iterator[RealLab]:
    recorder = Recorder()
    recorder.note(0.0, "begin", recording=VERSION, scenario="x", world="real", seed=1, nodes=2, spec={}, parameters={})
    lab = RealLab(2, spec, 1, recorder, directory)
    try:
        yield lab
    finally:
        lab.close()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_stale_blocks_and_intervals_of_real_nodes_are_those_of_the_simulation(tmp_path: Path) -> None:
    """Two parameters are measured on the real nodes: the pace, which a busy machine slows down, and the delay."""
    blocks, delay = real(load_spec("lab"), DELAY, BLOCKS, tmp_path)
    pace = fmean(intervals(blocks))
    assert delay > 5 * DELAY, "news takes several messages"
    runs = [simulated(seed, load_spec("lab"), pace, delay, len(blocks)) for seed in range(30)]
    found = sum(map(len, runs)) - len(runs)
    p = fisher(stale(blocks), len(blocks) - 1, sum(map(stale, runs)), found)
    assert p > LEAST, (stale(blocks), len(blocks), sum(map(stale, runs)), found, pace, delay)
    simulated_intervals = [each for run in runs for each in intervals(run)]
    assert kolmogorov_smirnov(intervals(blocks), simulated_intervals) > LEAST, (pace, delay)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_difficulty_leads_real_nodes_to_the_pace_of_the_simulation(tmp_path: Path) -> None:
    """With the chain spec of `timewarp`, whose difficulty follows the blocks. Everybody tells the true time."""
    spec = spec_of(load_scenario("timewarp"))
    blocks, delay = real(spec, 0.0, BLOCKS, tmp_path)
    runs = [simulated(seed, spec, 2.0, delay, len(blocks)) for seed in range(30)]
    p = kolmogorov_smirnov(intervals(blocks), [each for run in runs for each in intervals(run)])
    assert p > LEAST, (fmean(intervals(blocks)), delay)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_liar_about_time_moves_the_pace_of_real_nodes_as_that_of_the_simulation(tmp_path: Path) -> None:
    """The scenario `timewarp`, with its lie and 40 % of the hash rate."""
    spec = spec_of(load_scenario("timewarp"))
    blocks, delay = real(spec, 0.0, BLOCKS, tmp_path, 0.4, lies=True)
    runs = [simulated(seed, spec, 2.0, delay, len(blocks), 0.4, lies=True) for seed in range(30)]
    p = kolmogorov_smirnov(intervals(blocks), [each for run in runs for each in intervals(run)])
    assert p > LEAST, (fmean(intervals(blocks)), delay)
    pairs = [(block, parent) for parent in blocks for block in blocks[1:] if block.parent == parent.hash]
    back = {who: [block.timestamp <= parent.timestamp for block, parent in pairs if block.finder == who]
            for who in (1, 2)}  # fmt: skip
    assert sum(back[1]) > len(back[1]) / 4, "the liar gives its parent's timestamp, as often as it pays"
    assert fisher(sum(back[1]), len(back[1]), sum(back[2]), len(back[2])) < LEAST, back


def double_spends(lab: Lab, attempts: int) -> int:
    """How many of so many attacks of the scenario `double_spend` succeed, with 40 % and one confirmation."""
    share_hash_rate(lab, {1: 0.4}, 1.0)
    return sum(attack(lab, lab.node(1), lab.node(2), 1) for _ in range(attempts))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_double_spends_of_real_nodes_succeed_as_often_as_in_the_simulation(tmp_path: Path) -> None:
    with two_real_nodes(load_spec("lab"), tmp_path) as lab:
        won = double_spends(lab, ATTEMPTS)
    won_there = 0
    for seed in range(20):
        with TreeLab(2, load_spec("lab"), seed) as tree:
            won_there += double_spends(tree, ATTEMPTS)
    assert fisher(won, ATTEMPTS, won_there, 20 * ATTEMPTS) > LEAST, (won, won_there)
    assert 0 < won_there < 20 * ATTEMPTS


def selfish_share(lab: Lab, blocks: int) -> float:
    """Which part of the chain a selfish miner with 40 % of the hash rate has found."""
    share_hash_rate(lab, {1: 0.4}, 2.0)
    delayed(lab, 0.0)
    lab.strategy(1, Selfish())
    lab.wait(lambda: len(lab.blocks()) > blocks, PATIENCE)
    lab.strategy(1, None)
    assert lab.observations == []
    return revenue_share(lab.blocks(), 1)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_selfish_miner_earns_on_real_nodes_as_much_as_in_the_simulation(tmp_path: Path) -> None:
    with two_real_nodes(load_spec("lab"), tmp_path) as lab:
        share = selfish_share(lab, BLOCKS)
    shares = []
    for seed in range(4000):
        with TreeLab(2, load_spec("lab"), seed) as tree:
            shares.append(selfish_share(tree, BLOCKS))
    assert among(share, shares) > LEAST, (share, fmean(shares))


# --- the tests of two samples themselves ---


def test_a_value_is_placed_among_others() -> None:
    assert among(5.0, range(10)) == pytest.approx(1.0)
    assert among(0.0, range(10)) == among(9.0, range(10)) == pytest.approx(4 / 11)
    assert among(-1.0, [float(each) for each in range(3999)]) == pytest.approx(2 / 4000)
    assert among(1.0, [1.0] * 50) == 1.0


def test_fishers_test_by_a_table_of_his() -> None:
    """R. A. Fisher (1935): of twins of convicts, 10 of 13 identical ones were convicted, and 2 of 17 others."""
    assert fisher(10, 13, 2, 17) == pytest.approx(0.0005367, rel=1e-3)
    assert fisher(5, 50, 10, 100) == pytest.approx(1.0)


def test_smirnovs_test_at_a_value_of_its_table() -> None:
    """With 10,000 values each, the distance 1.628 sqrt(2 / 10,000) has p = 0.01; one law gives more, two give less."""
    size = 10_000
    shift = round(1.628 * (2 / size) ** 0.5 * size)
    assert kolmogorov_smirnov(range(size), range(shift, size + shift)) == pytest.approx(0.01, rel=0.05)
    chance = random.Random(3)

    def draw(rate: float) -> list[float]:
        return [chance.expovariate(rate) for _ in range(200)]

    assert min(kolmogorov_smirnov(draw(1), draw(1)) for _ in range(20)) > 0.005
    assert kolmogorov_smirnov(draw(1), draw(2)) < LEAST
    assert kolmogorov_smirnov([1.0] * 50, [1.0] * 50) == 1.0
