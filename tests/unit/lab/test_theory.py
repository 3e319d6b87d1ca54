"""The simulation beside theory: short slices of `python -m benchmarks lab`. The whole of it is slow.

Intervals are judged at 99.9 %, and the seeds are fixed: what holds here holds always.
"""

import pytest

from benchmarks import lab as benchmark
from benchmarks import lab_theory, tie_rules
from benchmarks.lab import mean, share
from lab import formulas


@pytest.mark.parametrize("delay", [0.1, 0.5])
def test_stale_blocks(delay: float) -> None:
    found = [lab_theory.stale_share(delay, seed, 4000) for seed in range(5)]
    assert mean("stale", found, formulas.stale_rate(1.0, delay)).held
    assert not mean("stale", found, formulas.stale_rate(1.0, delay) * 1.25).held


@pytest.mark.parametrize(("q", "z"), [(0.1, 1), (0.3, 2)])
def test_double_spends(q: float, z: int) -> None:
    seeds = 250
    won = sum(lab_theory.double_spend(q, z, False, seed) for seed in range(seeds))
    assert share("double spend", won, seeds, formulas.double_spend(q, z, formulas.GIVE_UP)).held
    tied = sum(lab_theory.double_spend(q, z, True, seed) for seed in range(seeds))
    assert share("with ties", tied, seeds, formulas.double_spend_with_ties(q, z, formulas.GIVE_UP)).held
    assert not share("with ties", tied, seeds, formulas.double_spend(q, z)).held


def test_selfish_mining_gains_above_a_quarter_and_loses_below() -> None:
    for alpha, pays in ((0.2, False), (0.35, True)):
        found = [lab_theory.selfish(alpha, seed, 5000) for seed in range(5)]
        assert mean("selfish", found, formulas.selfish_revenue(alpha)).held
        assert (sum(found) / 5 > alpha) is pays


def test_low_hashes_pay_below_a_quarter() -> None:
    found = [lab_theory.selfish_low_hash(0.2, seed, 6000) for seed in range(5)]
    assert mean("low hashes", found, formulas.selfish_low_hash_revenue(0.2)).held
    assert not mean("low hashes", found, formulas.selfish_revenue(0.2)).held


@pytest.mark.parametrize("lie", ["as far back as allowed", "lose time at the cap of six intervals"])
def test_liars_stay_within_a_tenth_of_the_interval(lie: str) -> None:
    found = [lab_theory.interval(0.49, lie, seed, 1000) for seed in range(3)]
    assert 0.95 < sum(found) / 3 < 1.1


def test_other_tie_rules_take_the_gain_away() -> None:
    rules = [rule for rule in tie_rules.RULES if rule != "lower hash (ours)"]
    found = {rule: tie_rules.revenue(rule, "low", 0.2, 8000, 1) for rule in tie_rules.RULES}
    assert all(found[rule] < found["lower hash (ours)"] for rule in rules)
    seeds = 150
    for rule, formula in (
        ("first seen", formulas.double_spend),
        ("hash of both tips", formulas.double_spend_with_ties),
    ):
        tied = sum(tie_rules.double_spend(rule, 0.15, 2, seed) for seed in range(seeds))
        assert share(rule, tied, seeds, formula(0.15, 2)).held
    apart = {rule: any(tie_rules.split(rule, seed) for seed in range(40)) for rule in tie_rules.RULES}
    assert apart == {rule: rule == "first seen" for rule in tie_rules.RULES}


def test_it_is_fast_enough() -> None:
    """Processor time, the best of three: others use the machine as well."""
    for nodes in (2, 8):
        assert max(lab_theory.blocks_per_second(nodes, 4000, seed=seed) for seed in range(3)) > 20_000


@pytest.mark.slow
def test_the_whole_benchmark_holds() -> None:
    results = benchmark.run(lambda text: None)
    assert [figure.name for result in results for figure in result.figures if figure.met is False] == []
