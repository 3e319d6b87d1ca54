"""The arithmetic of benchmarks whose ways take turns: ratios, their intervals, and processor time of processes."""

import os
import subprocess
import sys
import time

import pytest

from benchmarks.node import processor_seconds
from benchmarks.ratios import Ratio, outside_the_interval
from benchmarks.traced_nodes import Spent


@pytest.mark.parametrize(
    ("count", "outside"), [(2, 0), (5, 0), (6, 0), (8, 0), (9, 1), (12, 2), (20, 5), (30, 9), (50, 17), (100, 39)]
)
def test_the_interval_of_a_median_is_that_of_the_tables(count: int, outside: int) -> None:
    """Those of the sign test (Dixon and Mood, 1946), two-sided at 5 %."""
    assert outside_the_interval(count) == outside


def test_a_ratio_has_its_quartiles_and_its_interval() -> None:
    ratio = Ratio.of([1.0 + number / 100 for number in (8, 0, 4, 2, 6, 1, 3, 5, 7)])
    assert (ratio.median, ratio.quartiles, ratio.interval) == (1.04, (1.02, 1.06), (1.01, 1.07))
    assert str(ratio) == "1.040, with 95 % in 1.010 to 1.070; quartiles 1.020 and 1.060 of 9 pairs"


def test_one_wild_cycle_changes_little() -> None:
    assert Ratio.of([1.02] * 8 + [9.0]).median == 1.02


def test_what_a_traced_node_exports_in_the_rest_of_a_cycle_counts() -> None:
    """And not what any node does then."""
    untraced = (Spent([1.0, 2.0], [0.1, 0.2]), Spent([3.0, 2.0], [0.3, 0.2]))
    traced = Spent([2.0, 2.0], [0.3, 0.2])
    assert traced.over(*untraced) == pytest.approx([1.05, 1.0])


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_processor_time_of_a_process_includes_its_children_that_have_ended() -> None:
    began = processor_seconds([os.getpid()])
    busy = "import time\nwhile time.process_time() < 0.2: pass"
    subprocess.run([sys.executable, "-c", busy], check=True)
    until = time.process_time() + 0.1
    while time.process_time() < until:
        pass
    assert processor_seconds([os.getpid()]) - began >= 0.28
    assert processor_seconds([2**22 + 1]) == 0.0  # no process has this id
