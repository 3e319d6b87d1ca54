"""The simulation finds planted bugs. `make mutation` plants them all."""

import pytest

from lab.simulated.mutants import MUTANTS, Mutant, judge
from lab.simulated.planting import python, script
from lab.simulated.schedules import run_seed
from services.store import scripts

# One of each kind: a race inside a node, a peer that lies, a network that does not heal. Each with the first seed that
# finds it now: it is tried before the others, to save the schedules that do not find it.
QUICK = {
    "append compares neither the tip nor its digest": 2,
    "blocks are not validated": 12,
    "an interrupted reorganisation is left alone": 1,
}
SEEDS = range(1, 41)


@pytest.mark.parametrize("mutant", [item for item in MUTANTS if item.name in QUICK], ids=lambda item: item.name)
def test_a_planted_bug_is_found(mutant: Mutant) -> None:
    first = QUICK[mutant.name]
    assert first in SEEDS
    assert judge(mutant, [first, *SEEDS]).seed is not None


def test_there_are_enough_mutants_and_each_is_one_bug() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 8
    assert QUICK.keys() < {mutant.name for mutant in MUTANTS}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda item: item.name)
def test_a_mutant_is_planted_where_the_code_still_is_and_taken_out_again(mutant: Mutant) -> None:
    names = ("append", "swap", "requeue", "reindex", "admit", "drop")
    before = [scripts.source(name) for name in names]
    with mutant.plant():
        during = [scripts.source(name) for name in names]
    assert [scripts.source(name) for name in names] == before
    if mutant.plant.__qualname__.startswith("script"):
        assert during != before


def test_a_script_that_has_changed_is_no_mutant() -> None:
    planted = Mutant("nothing", script("append", ("this is not in it", "")))
    with planted.plant(), pytest.raises(AssertionError, match=r"append\.lua has changed"):
        scripts.source("append")


def test_a_function_that_takes_something_else_now_is_no_mutant() -> None:
    for other in (lambda rules, block: None, lambda rules, block, window, known, now: None):
        planted = Mutant("nothing", python(("services.chain.accept", "validate", other)))
        with pytest.raises(AssertionError, match=r"validate takes .* now"), planted.plant():
            pass


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda item: item.name)
def test_every_planted_bug_is_found(mutant: Mutant) -> None:
    assert run_seed(1, mutant.mode).failure is None
    assert judge(mutant, range(1, 121)).seed is not None
