"""Seeds: what one gives stays the same under one version of the simulation."""

import hashlib
from pathlib import Path

import pytest

from lab import seeds
from lab.files import read_file
from lab.loading import built_in, load_scenario
from lab.runner import run_seeds

# scenario -> the beginning of the SHA-256 of the blocks of its run by seed 5, in the tree fidelity.
RUNS = {
    "double_spend": "3af2c2a9e261ee64",
    "fees": "2e26ce03598de958",
    "latency": "52d92b37fde298b6",
    "majority": "07a11d0310155706",
    "selfish": "c315dbe100265490",
    "timewarp": "f1ed1d6fe757acd4",
}


@pytest.mark.parametrize("name", sorted(RUNS))
def test_a_seed_gives_the_same_run(tmp_path: Path, name: str) -> None:
    result = run_seeds(name, "tree", range(5, 6), {}, tmp_path)
    assert result.recording is not None and result.seed_of_recording == f" (seed {seeds.VERSION}:5)"
    events = read_file(Path(result.recording))
    blocks = [(event.fields["finder"], event.fields["height"]) for event in events if event.kind == "block"]
    found = hashlib.sha256(repr(blocks).encode()).hexdigest()[:16]
    assert found == RUNS[name], "a seed gives another run: increment VERSION in lab/seeds.py, and correct this table"


def test_every_scenario_of_the_tree_has_its_run() -> None:
    assert set(RUNS) == {name for name in built_in() if load_scenario(name).fidelity == "tree"}
