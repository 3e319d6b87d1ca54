"""How many proofs a worker claims: a quarter of a second's, fewer where the round is short, never a handful."""

import pytest

from worker.claims import CLAIM_SECONDS, ClaimSize, measure_speed
from worker.kernel.plain import PlainKernel


def learnt(speed: float, difficulty: int) -> ClaimSize:
    size = ClaimSize(speed)
    size.learn(int(speed * 0.1), 0.1, difficulty)
    return size


def test_a_claim_lasts_a_quarter_of_a_second_at_most() -> None:
    assert learnt(1_000_000, 2**60).proofs == 1_000_000 * CLAIM_SECONDS


def test_a_claim_is_a_part_of_what_the_round_is_likely_to_take() -> None:
    assert learnt(1_000_000, 65_536).proofs == 16_384


def test_a_claim_is_worth_its_round_trip() -> None:
    assert learnt(1_000_000, 1).proofs == 4_000


def test_the_first_claim_is_short() -> None:
    """Nothing is known of the round yet, and it may be nearly over."""
    assert ClaimSize(1_000_000).proofs == 4_000


@pytest.mark.parametrize("speed", [0.0, -1.0, 1.0])
def test_there_is_always_something_to_claim(speed: float) -> None:
    size = ClaimSize(speed)
    size.learn(1, 10.0, 1)
    assert size.proofs >= 4


def test_it_follows_the_speed_that_it_sees() -> None:
    size = ClaimSize(1_000_000)
    for _ in range(20):
        size.learn(50_000, 0.1, 2**60)
    assert size.proofs == pytest.approx(500_000 * CLAIM_SECONDS, rel=0.01)


def test_very_short_scans_say_nothing_of_the_speed() -> None:
    size = ClaimSize(1_000_000)
    for _ in range(100):
        size.learn(1, 0.0005, 2**60)
    assert size.proofs == 1_000_000 * CLAIM_SECONDS


def test_the_measured_speed_is_that_of_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    class Steady(PlainKernel):
        def scan(self, prefix: bytes, difficulty: int, start: int, stop: int) -> int | None:
            nonlocal now
            assert difficulty > 2**100, "it must find nothing"
            now += (stop - start) / 300_000
            return None

    monkeypatch.setattr("time.perf_counter", lambda: now)
    assert measure_speed(Steady()) == pytest.approx(300_000)
