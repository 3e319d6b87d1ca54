"""The schedule: once per time slot, however many tickers run and however often."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from services.connections import connect_for_requests
from services.launch.embedded import EmbeddedValkey
from services.queues import HOUSEKEEPING, NETWORK, RqJobs, queue
from services.store.keys import NODES
from tests.integration.stores import (
    START,
    Crew,
    FakeClock,
    TestNode,
    connect,
    eventually,
    make_settings,
    make_spec,
)
from worker.ticker import HOUSEKEEPING_SECONDS, Ticker

SLOTS = 6


def housekeeping_jobs(valkey: EmbeddedValkey) -> list[str]:
    with connect_for_requests(valkey.url) as redis:
        jobs = queue(NETWORK, redis).get_jobs()
    return sorted(job.id for job in jobs if job.func_name == HOUSEKEEPING)


def test_four_tickers_enqueue_one_job_per_slot(valkey: EmbeddedValkey) -> None:
    connect(valkey)
    start = threading.Barrier(4)

    def run(_: int) -> int:
        clock, new = FakeClock(START), 0
        with connect_for_requests(valkey.url) as redis:
            ticker = Ticker(make_settings(), RqJobs(redis), clock)
            for _ in range(SLOTS * HOUSEKEEPING_SECONDS):
                start.wait(10)  # all in the same second
                new += ticker.tick()
                clock.time += 1
        return new

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(run, range(4))) >= SLOTS
    slots = range(START // HOUSEKEEPING_SECONDS, START // HOUSEKEEPING_SECONDS + SLOTS)
    assert housekeeping_jobs(valkey) == [f"housekeeping-node1-{slot}" for slot in slots]


def test_ticker_processes_register_the_node_and_tick_together(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    redis = connect(valkey)
    TestNode(redis)  # whose chain has begun
    with Crew(tmp_path, valkey.url, make_spec()) as crew:
        tickers = [crew.ticker() for _ in range(4)]
        began = time.time()
        eventually(lambda: redis.hexists(NODES, "node1"), what="the registration")
        eventually(lambda: housekeeping_jobs(valkey), what="the first tick")
        redis.delete(NODES)
        eventually(lambda: redis.hexists(NODES, "node1"), 3.0, "the registration of a node that was forgotten")
        eventually(lambda: len(redis.client_list()) > 4, what="the last ticker")
        jobs = housekeeping_jobs(valkey)
        assert 1 <= len(jobs) <= int(time.time() // HOUSEKEEPING_SECONDS) - int(began // HOUSEKEEPING_SECONDS) + 1
        for ticker in tickers:
            ticker.terminate()
        assert [ticker.wait(3) for ticker in tickers] == [0] * 4
