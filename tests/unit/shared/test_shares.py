"""Shares: their difficulty, what credit bears out, and when blocks are missing. The vectors are frozen."""

import json
import math
import random
from pathlib import Path

import pytest

from shared.shares import borne_out, chance_of_so_few, share_difficulty, withholds

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "shares.json").read_text("utf-8"))


@pytest.mark.parametrize("proofs, difficulty, expected", VECTORS["share_difficulty"])
def test_share_difficulty(proofs: int, difficulty: int, expected: int) -> None:
    assert share_difficulty(proofs, difficulty) == expected


@pytest.mark.parametrize("credited, difficulty, low, high", VECTORS["borne_out"])
def test_borne_out(credited: int, difficulty: int, low: int, high: int) -> None:
    assert borne_out(credited, difficulty) == (low, high)


@pytest.mark.parametrize("expected, found, chance", VECTORS["chance_of_so_few"])
def test_chance_of_so_few(expected: float, found: int, chance: float) -> None:
    assert math.isclose(chance_of_so_few(expected, found), chance, rel_tol=1e-9)
    assert withholds(expected, found) == (chance < 0.001)


def test_the_ends_are_three_deviations_from_the_credit() -> None:
    for credited, difficulty in ((0, 100), (100, 100), (12_345_600, 400), (2**60, 2**32)):
        low, high = borne_out(credited, difficulty)
        for end in (low, high):
            away, deviation = abs(end - credited), math.sqrt(end * difficulty)
            assert away <= 3 * deviation + 2 and away >= 3 * deviation * (1 - 1e-9) - 4


def test_honest_miners_are_hardly_ever_outside() -> None:
    draw, outside = random.Random(16), 0
    for _ in range(300):
        shares = sum(draw.random() < 0.01 for _ in range(3000))
        low, high = borne_out(shares * 100, 100)
        outside += not low <= 3000 <= high
    assert outside <= 3


def test_few_blocks_of_many_expected() -> None:
    assert not withholds(6.9, 0) and withholds(6.91, 0)
    assert not withholds(0.0, 0) and chance_of_so_few(0.0, 0) == 1.0
    assert not withholds(5000, 4800) and withholds(5000, 4700)


def test_a_chance_of_many_blocks_is_computed_from_those_that_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page of miners computes it for each of them, and a development chain may have a million blocks."""
    terms: list[float] = []
    lgamma = math.lgamma

    def counted(number: float) -> float:
        terms.append(number)
        return lgamma(number)

    monkeypatch.setattr(math, "lgamma", counted)
    for found, chance in ((1_000_000, 0.500266), (999_000, 0.158663), (996_000, 0.0000311), (1_004_000, 0.999969)):
        assert math.isclose(chance_of_so_few(1_000_000, found), chance, rel_tol=0.02)
    assert chance_of_so_few(1_000_000, 0) == 0.0
    assert chance_of_so_few(1.0, 1_000_000) == 1.0
    assert len(terms) < 100_000


def test_the_terms_that_are_left_out_change_nothing() -> None:
    draw = random.Random(27)
    for _ in range(200):
        expected = draw.choice((draw.uniform(0.01, 30), draw.uniform(30, 3_000)))
        found = max(0, round(draw.gauss(expected, 4 * math.sqrt(expected))))
        logs = (k * math.log(expected) - expected - math.lgamma(k + 1) for k in range(found + 1))
        assert math.isclose(chance_of_so_few(expected, found), min(1.0, math.fsum(map(math.exp, logs))), rel_tol=1e-9)
