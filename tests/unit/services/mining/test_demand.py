"""How many workers a round wants: exact cases, and what holds for all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mining.demand import MOST_WORKERS, workers_wanted
from services.settings.table import load_spec
from services.store.figures import round_figures
from services.store.rounds import Round, RoundState, RoundWorker
from shared.chain_spec import ChainSpec

CONSTANT, LWMA = load_spec("dev"), load_spec("network")
NOW = 1000.0


def open_round(difficulty: int) -> Round:
    return Round(
        id="0" * 32, state=RoundState.OPEN, height=2, difficulty=difficulty, hashes=0, wasted=0, version="v",
        parent="p", opened_at=NOW - 10, ended_at=None, block=None, sealed_by=None, transactions=0,
    )  # fmt: skip


def wanted(spec: ChainSpec, difficulty: int, rates: list[int], *, seconds: float = 10.0, rate: int = 0) -> int:
    found = open_round(difficulty)
    workers = {f"w{number}": RoundWorker(each * 10, NOW - 10, NOW) for number, each in enumerate(rates)}
    return workers_wanted(spec, found, round_figures(found, workers, NOW), round_seconds=seconds, hash_rate=rate)


def test_without_a_round_nobody_is_wanted() -> None:
    assert workers_wanted(CONSTANT, None, None, round_seconds=10.0, hash_rate=10**9) == 0


@pytest.mark.parametrize(
    ("difficulty", "rates", "count"),
    [
        (10_000_000, [], 1),  # nobody searches: the speed of a worker is not known
        (10_000_000, [0], 1),
        (10_000_000, [1_000_000], 1),  # one worker finds a block every 10 s
        (10_000_001, [1_000_000], 2),
        (100_000_000, [1_000_000], 10),
        (100_000_000, [500_000, 1_500_000], 10),  # the mean speed counts
        (100_000_000, [1_000_000] * 30, 10),  # too many: some may go
        (1, [1_000_000], 1),
        (2**200, [1], MOST_WORKERS),
    ],
)
def test_with_a_constant_difficulty_the_round_is_to_take_so_long(difficulty: int, rates: list[int], count: int) -> None:
    assert wanted(CONSTANT, difficulty, rates, rate=10**12) == count


@pytest.mark.parametrize(
    ("rate", "rates", "count"),
    [(0, [1_000_000], 1), (5_000_000, [1_000_000], 5), (5_000_001, [1_000_000] * 5, 6), (5_000_000, [], 1)],
)
def test_where_the_difficulty_follows_the_hash_rate_is_wanted(rate: int, rates: list[int], count: int) -> None:
    assert wanted(LWMA, 2**60, rates, seconds=0.1, rate=rate) == count


def test_a_worker_that_has_left_does_not_count() -> None:
    found = open_round(100_000_000)
    workers = {"here": RoundWorker(10_000_000, NOW - 10, NOW), "gone": RoundWorker(1000, NOW - 100, NOW - 50)}
    figures = round_figures(found, workers, NOW)
    assert workers_wanted(CONSTANT, found, figures, round_seconds=10.0, hash_rate=0) == 10


@given(st.integers(1, 2**100), st.lists(st.integers(0, 10**9), max_size=5), st.floats(0.1, 86_400))
def test_it_is_at_least_one_and_bounded(difficulty: int, rates: list[int], seconds: float) -> None:
    assert 1 <= wanted(CONSTANT, difficulty, rates, seconds=seconds) <= MOST_WORKERS
