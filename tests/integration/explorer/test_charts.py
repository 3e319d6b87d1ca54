"""The charts: what they are computed from, and that idle time does not look like hash rate."""

from dataclasses import replace

import pytest

from api.explorer import charts
from services.store.records import StoredHeader
from services.store.rounds import Round, RoundState
from shared.block import Header

INTERVAL = 10


def headers(times: list[int], difficulty: int = 1000) -> list[StoredHeader]:
    return [
        StoredHeader(
            Header(
                index=index, timestamp=time, proof=0, previous_hash="", difficulty=difficulty, transactions_root="",
                hash=f"{index:064x}",
            ),
            chainwork=0, size=0, transactions=1,
        )
        for index, time in enumerate(times, 2)
    ]  # fmt: skip


def round_of(height: int, hashes: int, seconds: float) -> Round:
    return Round(
        id=f"{height:032x}", state=RoundState.SEALED, height=height, difficulty=1000, hashes=hashes, wasted=0,
        version="", parent="", opened_at=100.0, ended_at=100.0 + seconds, block="", sealed_by="", transactions=0,
    )  # fmt: skip


def test_times_between_blocks() -> None:
    chart = charts.block_times(headers([0, 10, 20, 40]))
    assert chart is not None
    assert [bar.label for bar in chart.bars] == ["Block 3: 10 s", "Block 4: 10 s", "Block 5: 20 s"]
    assert (chart.first, chart.last, chart.top, chart.figure) == (3, 5, "20 s", "median 10 s")
    assert [mark.kind for mark in chart.legend] == ["bar"]


def test_a_night_is_cut_and_the_legend_says_so() -> None:
    chart = charts.block_times(headers([0, 10, 20, 30, 30_000]))
    assert chart is not None
    assert [bar.clipped for bar in chart.bars] == [False, False, False, True]
    assert chart.top == "1 min" and chart.legend[1].words == "longer than 1 min, cut off"


def test_the_hash_rate_forgets_idle_time() -> None:
    """Ten hours without a miner count as six intervals, as in the difficulty rule."""
    busy = [INTERVAL * number for number in range(30)]
    chart = charts.hash_rate(headers([*busy, busy[-1] + 36_000]), INTERVAL)
    assert chart is not None
    assert chart.figure == f"now about {1000 * 10 / (9 * INTERVAL + 6 * INTERVAL):.0f} H/s", chart.figure
    assert chart.top == "100 H/s"
    assert "all miners" in chart.legend[0].words and "at most" in chart.legend[0].words


def test_rounds_show_their_speed_without_the_time_between_them() -> None:
    chart = charts.round_speeds([round_of(2, 4000, 2.0), round_of(3, 1000, 1.0), round_of(9, 6000, 2.0)])
    assert chart is not None
    assert [bar.label for bar in chart.bars] == ["Block 2: 2 kH/s", "Block 3: 1 kH/s", "Block 9: 3 kH/s"]
    assert (chart.first, chart.last, chart.top, chart.figure) == (2, 9, "3 kH/s", "median 2 kH/s")
    assert [round(bar.height) for bar in chart.bars] == [80, 40, 120]


def test_rounds_in_which_nothing_was_searched_are_left_out() -> None:
    rounds = [round_of(2, 0, 2.0), round_of(3, 1000, 0.0), round_of(4, 1000, 1.0)]
    assert charts.round_speeds(rounds) is None
    again = charts.round_speeds([*rounds, replace(round_of(5, 10, 1.0), state=RoundState.CANCELLED)])
    assert again is not None and len(again.bars) == 2


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_blocks_are_no_chart(count: int) -> None:
    assert charts.block_times(headers([1] * count)) is None
    assert charts.hash_rate(headers([1] * (count + 1)), INTERVAL) is None
    assert charts.round_speeds([round_of(2, 10, 1.0)] * count) is None


def test_blocks_of_one_second_divide_by_nothing() -> None:
    assert charts.block_times(headers([5, 5, 5])) is not None
    assert charts.hash_rate(headers([5, 5, 5]), INTERVAL) is not None
