"""The pace of a worker under a limit, on a clock that the test moves."""

import itertools
import random

import pytest

from services.mining.pace import AIM, REPORT_SECONDS, SLICE_SECONDS, SPARE_SECONDS, WINDOW_SECONDS, Pace

RATES = (1, 2, 3, 10, 24, 25, 999, 1000, 100_000, 1_000_000, 7_654_321)


class Search:
    """A worker that scans at `speed` whenever its pace lets it, and wakes up late by up to `late` seconds."""

    def __init__(self, pace: Pace, speed: float, late: float = 0.0, seed: int = 1) -> None:
        self.pace, self.speed, self.late = pace, speed, late
        self.now = 0.0
        self.done: list[tuple[float, int]] = []  # when a slice began, and its hashes
        self.reports: list[tuple[float, int]] = []
        self._reported = 0.0
        self._unreported = 0
        self._random = random.Random(seed)

    def run(self, until: float) -> None:
        while self.now < until:
            hashes = self.pace.slice
            while (wait := self.pace.wait(hashes, self.now)) > 0:
                self.now += wait + 1e-9 + self._random.uniform(0, self.late)
            self.done.append((self.now, hashes))
            self.now += hashes / self.speed
            self.pace.spend(hashes, self.now)
            self._unreported += hashes
            if self.now - self._reported > REPORT_SECONDS:
                self.reports.append((self.now, self._unreported))
                self._reported, self._unreported = self.now, 0


def most_in_a_window(events: list[tuple[float, int]], seconds: float = WINDOW_SECONDS) -> int:
    """The most hashes in any half-open window of so many seconds."""
    most = total = first = 0
    for at, hashes in events:
        total += hashes
        while events[first][0] <= at - seconds:
            total -= events[first][1]
            first += 1
        most = max(most, total)
    return most


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("late", [0.0, 0.02, 0.5])
def test_no_window_of_ten_seconds_holds_more_than_the_limit(rate: int, late: float) -> None:
    pace = Pace()
    pace.set(rate, 0.0)
    search = Search(pace, speed=3 * rate + 1000, late=late)
    search.run(60 if rate < 25 else 25)
    assert most_in_a_window(search.done) <= WINDOW_SECONDS * rate
    assert most_in_a_window(search.reports) <= WINDOW_SECONDS * rate


@pytest.mark.parametrize("rate", [25, 1000, 1_000_000])
def test_a_worker_that_wakes_up_late_catches_up(rate: int) -> None:
    pace = Pace()
    pace.set(rate, 0.0)
    search = Search(pace, speed=4 * rate, late=0.02)
    search.run(20)
    done = sum(hashes for _, hashes in search.done)
    assert 0.955 * rate * search.now < done <= rate * search.now


def test_the_aim_is_what_is_documented() -> None:
    assert (SLICE_SECONDS, SPARE_SECONDS, REPORT_SECONDS, WINDOW_SECONDS) == (0.03, 0.04, 0.12, 10.0)
    assert pytest.approx(0.978, abs=0.001) == AIM


def test_frozen_steps() -> None:
    pace = Pace()
    assert (pace.is_limited, pace.wait(10**9, 5.0)) == (False, 0.0)
    pace.set(1000.01 / AIM, 5.0)
    assert (pace.is_limited, pace.slice, pace.claim) == (True, 30, 120)
    assert pace.wait(30, 5.0) == pytest.approx(0.03, abs=1e-5)  # empty at first
    assert pace.wait(30, 5.02) == pytest.approx(0.01, abs=1e-5)
    assert pace.wait(30, 5.04) == 0
    pace.spend(30, 5.04)
    assert pace.wait(30, 5.04) == pytest.approx(0.02, abs=1e-5)
    assert pace.wait(30, 99.0) == 0
    pace.spend(70, 99.0)  # no more than a slice and the spare have gathered in 94 s
    assert pace.wait(30, 99.0) == pytest.approx(0.03, abs=1e-4)


def test_while_the_limit_is_0_nothing_is_done_and_nothing_gathers() -> None:
    pace = Pace()
    pace.set(1000.01 / AIM, 0.0)
    pace.set(0, 0.02)
    assert pace.wait(1, 50.0) == float("inf")
    pace.set(1000.01 / AIM, 60.0)
    assert pace.wait(30, 60.0) == pytest.approx(0.01, abs=1e-5)  # the 20 tokens of before


def test_a_lower_limit_takes_away_what_has_gathered() -> None:
    pace = Pace()
    pace.set(1_000_000, 0.0)
    pace.set(1000.01 / AIM, 1.0)
    pace.spend(70, 1.0)
    assert pace.wait(30, 1.0) == pytest.approx(0.03, abs=1e-4)


def test_hashes_of_before_the_limit_do_not_count() -> None:
    pace = Pace()
    pace.spend(10**6, 1.0)
    pace.set(1000.01 / AIM, 2.0)
    assert pace.wait(30, 2.0) == pytest.approx(0.03, abs=1e-5)


def test_a_limit_that_changes_often_is_kept() -> None:
    """As when workers come and go: after each step the worker goes by another share, and by none for a while."""
    pace, chance = Pace(), random.Random(7)
    pace.set(1000, 0.0)
    search = Search(pace, speed=10_000)
    for step in itertools.count(1):
        search.run(search.now + chance.uniform(0.1, 0.8))
        if search.now > 60:
            break
        if step % 5 == 0:
            pace.set(0, search.now)
            search.now += 0.3
        pace.set(chance.choice((100, 500, 1000)), search.now)
    assert most_in_a_window(search.done) <= WINDOW_SECONDS * 1000
