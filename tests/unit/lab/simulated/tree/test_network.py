"""The network: finds, news, clocks, and the same seed again."""

import os
import subprocess
import sys

import pytest

from lab.simulated.tree.links import Links
from lab.simulated.tree.network import Network
from lab.strategies import Selfish, TimeLiar
from services.system.programs import ROOT
from shared.timestamps import max_ahead, median_time
from tests.unit.lab.simulated.tree.spec import SPEC, make_spec

DIGEST = """
from lab.simulated.tree.network import Network
from lab.simulated.tree.links import Links
from lab.strategies import Selfish
from shared.chain_spec import ChainSpec
spec = ChainSpec(name="lab", chain_id=7, genesis_timestamp=10**6, difficulty=1000)
links = Links(3, 0.1)
links.change(0, 1, jitter=0.2)
network = Network([300, 300, 400], spec=spec, seed=5, links=links, strategies={0: Selfish()})
network.run(blocks=300)
print(network.digest())
"""


def test_the_same_seed_gives_the_same_tree_in_every_process() -> None:
    found = {
        subprocess.run(
            [sys.executable, "-c", DIGEST],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    namespace: dict[str, object] = {}
    exec(DIGEST.replace("print(network.digest())", "found = network.digest()"), namespace)
    assert found == {namespace["found"]}


def test_another_seed_gives_another_tree() -> None:
    trees = [Network([1000], spec=SPEC, seed=seed) for seed in (1, 2)]
    for tree in trees:
        tree.run(blocks=3)
    assert trees[0].digest() != trees[1].digest()


def test_finds_follow_the_hash_rates_also_after_a_change() -> None:
    network = Network([100.0, 300.0], spec=SPEC, seed=3)
    network.run(blocks=2000)
    assert network.now == pytest.approx(2000 * 1000 / 400, rel=0.08)
    assert sum(block.finder == 0 for block in network.blocks) == pytest.approx(500, abs=80)
    before = network.now
    network.nodes[0].rate = 900.0
    network.weigh()
    network.run(blocks=2000)
    assert network.now - before == pytest.approx(2000 * 1000 / 1200, rel=0.08)
    assert sum(block.finder == 0 for block in network.blocks[2001:]) == pytest.approx(1500, abs=80)


def test_weighing_anew_changes_no_find() -> None:
    plain, weighed = (Network([600.0, 400.0], spec=SPEC, seed=4) for _ in range(2))
    plain.run(until=30.0)
    for tenth in range(1, 301):
        weighed.run(until=tenth / 10)
        weighed.weigh()
    times = [[block.found_at for block in network.blocks] for network in (plain, weighed)]
    assert len(times[0]) > 15 and times[0] == pytest.approx(times[1])


def test_nobody_mines_and_time_passes() -> None:
    network = Network([0.0, 0.0], spec=SPEC)
    network.run(until=50.0)
    assert (network.now, len(network.blocks)) == (50.0, 1)
    network.nodes[1].rate = 1000.0
    network.weigh()
    network.run(blocks=1)
    assert network.now > 50.0 and network.blocks[-1].finder == 1


def test_delays_make_forks_which_end_at_the_lower_hash() -> None:
    network = Network([500.0, 500.0], spec=SPEC, seed=1, links=Links(2, 0.5))
    network.run(blocks=400)
    network.settle()
    assert network.nodes[0].tip is network.nodes[1].tip is network.best()
    assert network.best().height - 1 < 380
    twins = [b for b in network.blocks if b.claim.chainwork == network.best().claim.chainwork]
    assert network.best().hash == min(b.hash for b in twins)


def test_news_on_their_way_are_lost_when_the_way_is_cut() -> None:
    network = Network([1000.0, 0.0], spec=SPEC, links=Links(2, 5.0))
    network.run(blocks=1)
    network.nodes[0].rate = 0.0
    network.weigh()
    network.links.set_cuts(lambda a, b: True)
    network.run(until=100.0)
    assert network.nodes[1].tip is network.blocks[0]
    network.links.set_cuts(lambda a, b: False)
    network.reconnect()
    network.run(until=104.9)
    assert network.nodes[1].tip is network.blocks[0]
    network.run(until=105.1)
    assert network.nodes[1].tip is network.blocks[1]


def test_timestamps_keep_the_rules_and_early_blocks_wait() -> None:
    spec = make_spec(block_interval=10)
    network = Network([50.0, 50.0], spec=spec, seed=2, strategies={0: TimeLiar("as far ahead as allowed")})
    checked = 0

    def check() -> bool:
        nonlocal checked
        for node in network.nodes:
            assert node.tip.timestamp <= network.began + network.now + max_ahead(10)
            checked += 1
        return False

    network.run(blocks=200, stop=check)
    for block in network.blocks[1:]:
        assert block.parent is not None
        assert block.timestamp >= median_time(block.parent.window())
        assert block.difficulty == block.parent.next_difficulty(spec)
    assert checked and len({block.difficulty for block in network.blocks}) > 50
    assert any(block.timestamp > network.began + block.found_at + 25 for block in network.blocks)


def test_a_block_too_far_ahead_is_heard_when_the_clock_allows_it() -> None:
    network = Network([0.0, 0.0], spec=make_spec(block_interval=10))
    network.run(until=100.0)
    clock = int(network.began + network.now)
    block = network.make(network.nodes[0], 1000, "1" * 64, timestamp=clock + 70)
    network.run(until=139.9)
    assert network.nodes[1].tip is not block
    network.run(until=140.1)
    assert network.nodes[1].tip is block


def test_a_selfish_miner_withholds_and_the_others_do_not_know() -> None:
    network = Network([600.0, 400.0], spec=SPEC, seed=1, strategies={0: Selfish()})
    network.run(blocks=500, stop=lambda: network.nodes[0].tip.height - network.nodes[1].tip.height >= 3)
    assert not network.nodes[0].tip.published
    assert network.best() is network.nodes[1].tip
    network.set_strategy(0, None)
    network.settle()
    assert network.nodes[0].tip is network.nodes[1].tip
