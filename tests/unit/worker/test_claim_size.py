"""How many proofs a worker claims: more as a round grows old, few if it is short, but never only a handful."""

import pytest

from worker.claim_size import LONGEST_SECONDS, SLICE_SECONDS, ClaimSize, measure_speed
from worker.kernel.plain import PlainKernel

SPEED = 1_000_000


def learnt(speed: float, difficulty: int, scans: int = 1) -> ClaimSize:
    """A claim's size after so many scans of a tenth of a second."""
    size = ClaimSize(speed)
    for _ in range(scans):
        size.learn(int(speed * 0.1), 0.1, difficulty)
    return size


def test_claims_grow_with_their_round_up_to_a_limit() -> None:
    assert learnt(SPEED, 2**60).proofs == SPEED * SLICE_SECONDS
    assert learnt(SPEED, 2**60, 8).proofs == pytest.approx(SPEED * 0.8, abs=1)
    assert learnt(SPEED, 2**60, 100).proofs == pytest.approx(SPEED * LONGEST_SECONDS, abs=1)


def test_a_new_round_begins_with_small_claims() -> None:
    size = learnt(SPEED, 2**60, 100)
    size.begin()
    assert size.proofs == pytest.approx(SPEED * SLICE_SECONDS, abs=1)


def test_a_slice_is_what_a_signal_may_have_to_wait_for() -> None:
    assert learnt(SPEED, 2**60, 100).slice == pytest.approx(SPEED * SLICE_SECONDS, abs=1)
    assert SLICE_SECONDS <= 0.5


def test_a_claim_is_a_part_of_what_the_round_is_likely_to_take() -> None:
    assert learnt(SPEED, 65_536).proofs == 16_384


def test_a_claim_is_worth_its_round_trip() -> None:
    assert learnt(SPEED, 1).proofs == 4_000


def test_the_first_claim_is_short() -> None:
    """Nothing is known of the round yet, and it may be nearly over."""
    assert ClaimSize(SPEED).proofs == 4_000


@pytest.mark.parametrize("speed", [0.0, -1.0, 1.0])
def test_there_is_always_something_to_claim(speed: float) -> None:
    size = ClaimSize(speed)
    size.learn(1, 10.0, 1)
    assert size.proofs >= 4


def test_it_follows_the_speed_that_it_sees() -> None:
    size = ClaimSize(SPEED)
    for _ in range(20):
        size.learn(50_000, 0.1, 2**60)
    assert size.slice == pytest.approx(500_000 * SLICE_SECONDS, rel=0.01)


def test_very_short_scans_say_nothing_of_the_speed() -> None:
    size = ClaimSize(SPEED)
    for _ in range(100):
        size.learn(1, 0.0005, 2**60)
    assert size.slice == SPEED * SLICE_SECONDS


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
