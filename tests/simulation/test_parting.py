"""Chains with sealers whose nodes have different upgrades, simulated: two upgrades of one height, and old nodes."""

import json
from collections import Counter

import pytest

from lab.simulated.parting import Parting
from lab.simulated.schedules import run_seed
from shared.upgrades import to_object
from tests.support import verifier


def test_groups_with_other_upgrades_part_and_go_on() -> None:
    met: Counter[str] = Counter()
    for seed in (1, 2):
        world = Parting(seed)
        outcome = world.run()
        assert outcome.failure is None, f"parting seed {seed}: {outcome.failure}"
        met.update(outcome.met)
        for index, node in enumerate(world.nodes):
            # The independent verifier takes the chain of each node by its upgrades, and by no others.
            tip, spec = node.checker.tip, world.spec_of(index)
            states = node.checker.tree.states
            blocks = [json.loads(states[name].block.canonical) for name in tip.hashes()]
            upgrades = to_object(spec) if spec.stages else None
            found = verifier.verify(spec.to_object(), blocks, upgrades=upgrades)
            assert (found.tip, found.height) == (tip.block.hash, tip.block.index)
            for other in world.specs:
                if other != spec:
                    with pytest.raises(AssertionError, match=f"block {world.height}: "):
                        verifier.verify(spec.to_object(), blocks, upgrades=to_object(other))
    assert met["parted"] == 2 and met["parted at the height"] and met["handed in"] > 20


def test_a_seed_replays_identically() -> None:
    assert run_seed(2, "parting").digest == run_seed(2, "parting").digest


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many_schedules() -> None:
    failed = [seed for seed in range(1, 41) if run_seed(seed, "parting").failure is not None]
    assert failed == [], f"python -m lab.simulated --mode parting --seeds 1 --log --first {failed[0]}"
