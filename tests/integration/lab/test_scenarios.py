"""The built-in scenarios, with a few seeds each: as people run them, and as theory expects."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.formulas import GIVE_UP, double_spend, selfish_low_hash_revenue, selfish_revenue, stale_rate
from lab.loading import Value, built_in, load_scenario
from lab.runner import Result, run_seeds
from lab.scenarios.timewarp import chance


def run(name: str, seeds: int, directory: Path | None = None, **given: Value) -> Result:
    return run_seeds(name, load_scenario(name).fidelity, range(1, seeds + 1), given, directory)


def test_every_scenario_is_tried_here_or_with_the_nodes_own_code() -> None:
    assert set(built_in()) == {
        "double_spend", "majority", "selfish", "latency", "timewarp", "fees",  # here
        "partition", "crash", "liar",  # tests/simulation/test_lab.py
    }  # fmt: skip


@pytest.mark.parametrize(("q", "z"), [(0.1, 1), (0.3, 2), (0.4, 4)])
def test_double_spends_succeed_as_often_as_rosenfeld_says(q: float, z: int) -> None:
    result = run("double_spend", 30, q=q, z=z)
    first = result.verdicts[0]
    assert result.held and first.expected == double_spend(q, z, GIVE_UP)
    assert first.low is not None and first.high is not None and first.high - first.low < 0.25


def test_selfish_miners_gain_above_a_quarter_and_lose_below() -> None:
    for alpha, sign in ((0.4, 1), (0.1, -1)):
        first = run("selfish", 5, alpha=alpha, blocks=1500).verdicts[0]
        assert first.held and first.expected == selfish_revenue(alpha) and first.value is not None
        assert (first.value - alpha) * sign > 0
    low = run("selfish", 5, alpha=0.2, blocks=1500, low_hash=True).verdicts[0]
    assert low.held and low.expected == selfish_low_hash_revenue(0.2)


def test_stale_blocks_follow_the_delay() -> None:
    for delay in (0.1, 1.0):
        first = run("latency", 5, delay=delay, interval=2.0, blocks=1500).verdicts[0]
        assert first.held and first.expected == stale_rate(2.0, delay)
    assert run("latency", 1, nodes=3, blocks=200).verdicts[0].expected is None


def test_liars_about_time_move_the_interval_little() -> None:
    first = run("timewarp", 2, share=0.4, blocks=400).verdicts[0]
    assert first.held and first.value is not None and 1.8 < first.value < 2.2
    assert first.claim == "the mean interval stays within 10 % of the target"


def test_the_interval_of_a_few_blocks_is_judged_by_what_chance_does_to_it() -> None:
    result = run("timewarp", 5, share=0.4, blocks=40, warm_up=40)
    assert result.held and all("fits a pace within 10 % of the target" in each.claim for each in result.verdicts)
    assert chance(40) == pytest.approx(3.29 / 40**0.5, rel=0.001) and chance(0) > 3


def test_a_majority_rewrites_and_a_minority_does_not_for_long() -> None:
    assert run("majority", 5, share=0.7).held
    assert not run("majority", 3, share=0.2, blocks=300).verdicts[0].held


def test_high_fees_are_sniped_as_often_as_the_formula_says() -> None:
    first = run("fees", 10, blocks=600).verdicts[0]
    assert first.held and first.expected is not None and first.low is not None


@pytest.mark.parametrize("name", ["double_spend", "majority", "selfish", "latency", "timewarp", "fees"])
def test_every_scenario_leaves_a_recording(name: str, tmp_path: Path) -> None:
    small: dict[str, dict[str, Value]] = {"timewarp": {"blocks": 30}, "majority": {"blocks": 100}}
    result = run(name, 1, tmp_path, **small.get(name, {"blocks": 60}))
    assert result.recording is not None and Path(result.recording).stat().st_size > 1000
