"""One count, one speed, one estimate and one probability of a round."""

import json
import math
from dataclasses import replace

import pytest

from services.mining.searches import HEARTBEAT_SECONDS
from services.store.figures import ACTIVE_SECONDS, round_figures
from services.store.rounds import Round, RoundState, RoundWorker

NOW = 1000.0
OPEN = Round(
    id="a" * 32, state=RoundState.OPEN, height=7, difficulty=1000, hashes=0, wasted=0, version="1", parent="b" * 64,
    opened_at=900.0, ended_at=None, block=None, sealed_by=None, transactions=0,
)  # fmt: skip


def test_a_round_that_nobody_has_searched() -> None:
    found = round_figures(OPEN, {}, NOW)
    assert (found.hashes, found.rate, found.expected_seconds, found.probability, found.workers) == (0, 0, None, 0, ())
    assert json.dumps(found.probability) == "0.0", "not -0.0"


def test_the_round_is_the_sum_of_its_workers() -> None:
    workers = {"b-1": RoundWorker(300, since=990.0, last=1000.0), "a-1": RoundWorker(100, since=995.0, last=999.0)}
    found = round_figures(replace(OPEN, hashes=399), workers, NOW)
    assert [(item.name, item.hashes, item.rate, item.searches) for item in found.workers] == [
        ("a-1", 100, 25, True), ("b-1", 300, 30, True),
    ]  # fmt: skip
    assert found.hashes == 400, "not the 399 that were read at another moment"
    assert found.rate == 55
    assert found.expected_seconds == round(1000 / 55, 3)
    assert found.probability == round(1 - math.exp(-0.4), 4)


def test_only_those_who_search_count_for_the_speed() -> None:
    workers = {
        "here": RoundWorker(100, since=980.0, last=NOW - ACTIVE_SECONDS + 0.1),
        "gone": RoundWorker(100, since=980.0, last=NOW - ACTIVE_SECONDS),
        "new": RoundWorker(0, since=NOW, last=NOW),
    }
    found = round_figures(OPEN, workers, NOW)
    assert [item.searches for item in found.workers] == [False, True, True]
    assert (found.hashes, found.rate) == (200, int(100 / 14.1))


def test_without_a_report_there_is_no_estimate() -> None:
    found = round_figures(OPEN, {"new": RoundWorker(0, since=NOW, last=NOW)}, NOW)
    assert (found.rate, found.expected_seconds) == (0, None)


@pytest.mark.parametrize("state", [RoundState.SEALED, RoundState.CANCELLED])
def test_an_ended_round_has_its_average_and_expects_nothing(state: RoundState) -> None:
    ended = replace(OPEN, state=state, ended_at=920.0, hashes=2000)
    found = round_figures(ended, {"w": RoundWorker(2000, since=910.0, last=919.0)}, NOW)
    assert (found.rate, found.expected_seconds) == (100, None)
    assert found.probability == round(1 - math.exp(-2), 4)
    assert not found.workers[0].searches
    assert round_figures(ended, {}, NOW).hashes == 2000, "what each worker did is forgotten"
    assert round_figures(replace(ended, ended_at=900.0), {}, NOW).rate == 0


def test_a_clock_that_was_set_back_gives_no_negative_speed() -> None:
    found = round_figures(OPEN, {"w": RoundWorker(50, since=NOW, last=NOW - 3)}, NOW)
    assert found.rate == 0 and found.expected_seconds is None


@pytest.mark.parametrize(("hashes", "least", "most"), [(1, 0.0009, 0.0011), (693, 0.499, 0.501), (10**9, 1, 1)])
def test_the_probability_grows_with_the_hashes_and_ends_at_one(hashes: int, least: float, most: float) -> None:
    found = round_figures(OPEN, {"w": RoundWorker(hashes, since=1.0, last=2.0)}, NOW)
    assert least <= found.probability <= most


def test_a_worker_that_reports_in_time_is_not_taken_for_gone() -> None:
    assert ACTIVE_SECONDS >= 2 * HEARTBEAT_SECONDS


def test_the_json_has_these_figures() -> None:
    found = round_figures(OPEN, {"w": RoundWorker(50, since=990.0, last=NOW)}, NOW).to_object()
    assert found == {
        "hashes": 50, "rate": 5, "expected_seconds": 200.0, "probability": 0.0488,
        "workers": [{"name": "w", "hashes": 50, "rate": 5}],
    }  # fmt: skip
