"""The schedule of one node: which jobs are due, under which ids."""

from typing import Any

import pytest

from services.jobs.queues import DISCOVER, RESOLVE
from services.settings.table import load
from worker.ticker import Ticker


class Clock:
    def __init__(self) -> None:
        self.time = 1_750_000_000.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


class Queue:
    """Keeps the network jobs by their ids."""

    def __init__(self) -> None:
        self.jobs: dict[str, str] = {}

    def enqueue_network(self, function: str, node: str, job_id: str, *args: str) -> bool:
        assert args == ()
        new = job_id not in self.jobs
        self.jobs.setdefault(job_id, function)
        return new

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a ticker has no need of {name}")


@pytest.fixture
def queue() -> Queue:
    return Queue()


def test_each_slot_has_one_job_however_often_it_ticks(queue: Queue) -> None:
    clock = Clock()
    ticker = Ticker(load({"QUARRY_NODE": "first"}), queue, clock)
    for _ in range(60):
        ticker.tick()
        clock.sleep(1)
    slots = range(1_750_000_000 // 10, 1_750_000_060 // 10)
    minutes = range(1_750_000_000 // 60, 1_750_000_059 // 60 + 1)
    assert queue.jobs == {
        **{f"resolve-first-{slot}": RESOLVE for slot in slots},
        **{f"discover-first-{minute}": DISCOVER for minute in minutes},
    }


def test_a_tick_says_how_many_jobs_were_new(queue: Queue) -> None:
    clock = Clock()
    ticker = Ticker(load({}), queue, clock)
    assert ticker.tick() == len(queue.jobs) > 0
    assert ticker.tick() == 0
    clock.sleep(10)
    assert ticker.tick() >= 1


def test_the_resolver_follows_its_setting(queue: Queue) -> None:
    clock = Clock()
    ticker = Ticker(load({"QUARRY_RESOLVE_SECONDS": "30"}), queue, clock)
    for _ in range(90):
        ticker.tick()
        clock.sleep(1)
    resolves = [name for name, function in queue.jobs.items() if function == RESOLVE]
    assert len(resolves) in (3, 4)  # the first slot may have begun before


def test_nodes_on_one_broker_do_not_take_each_others_slots(queue: Queue) -> None:
    clock = Clock()
    tickers = [Ticker(load({"QUARRY_NODE": name}), queue, clock) for name in ("first", "second")]
    assert [ticker.tick() for ticker in tickers] == [len(queue.jobs) // 2] * 2
