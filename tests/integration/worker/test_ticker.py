"""The schedule: each job once per time slot, however many tickers run."""

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.connections.servers import connect_for_requests
from services.errors import NotBegun
from services.housekeeping import HOUSEKEEPING_SECONDS, take_slot
from services.jobs import totals as job_totals
from services.jobs.queues import DISCOVER, HEARD, MAX_WAITING, NETWORK, RESOLVE, RqJobs, queue
from services.launch.embedded import EmbeddedValkey
from services.peers.claims import DISCOVERY_SECONDS
from services.store.keys import NODES
from tests.support.clocks import START, FakeClock
from tests.support.crew import Crew
from tests.support.nodes import TestNode, make_settings
from tests.support.servers import connect
from tests.support.specs import make_spec
from tests.support.waiting import eventually
from worker.housekeeper import Housekeeper
from worker.ticker import Ticker

SLOTS, SLOT_SECONDS = 6, 10


def scheduled(valkey: EmbeddedValkey, function: str = RESOLVE) -> list[str]:
    with connect_for_requests(valkey.url) as redis:
        jobs = queue(NETWORK, redis).get_jobs()
    return sorted(job.id for job in jobs if job.func_name == function)


def test_four_tickers_enqueue_one_job_per_slot(valkey: EmbeddedValkey) -> None:
    connect(valkey)
    start = threading.Barrier(4)

    def run(_: int) -> int:
        clock, new = FakeClock(START), 0
        with connect_for_requests(valkey.url) as redis:
            ticker = Ticker(make_settings(), RqJobs(redis), clock)
            for _ in range(SLOTS * SLOT_SECONDS):
                start.wait(10)  # all in the same second
                new += ticker.tick()
                clock.time += 1
        return new

    minutes = range(START // DISCOVERY_SECONDS, (START + SLOTS * SLOT_SECONDS - 1) // DISCOVERY_SECONDS + 1)
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(run, range(4))) == SLOTS + len(minutes)
    slots = range(START // SLOT_SECONDS, START // SLOT_SECONDS + SLOTS)
    assert scheduled(valkey) == [f"resolve-node1-{slot}" for slot in slots]
    assert scheduled(valkey, DISCOVER) == [f"discover-node1-{minute}" for minute in minutes]


def test_four_housekeepers_keep_house_once_per_slot(valkey: EmbeddedValkey) -> None:
    connect(valkey)
    start = threading.Barrier(4)

    def run(_: int) -> int:
        kept = 0
        with connect_for_requests(valkey.url) as redis:
            member = TestNode(redis, clock=FakeClock(START))
            keeper = Housekeeper(member.node, redis)
            for _ in range(SLOTS * HOUSEKEEPING_SECONDS):
                start.wait(10)
                kept += keeper.tick()
                member.clock.time += 1
        return kept

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(run, range(4))) == SLOTS
    with connect_for_requests(valkey.url) as redis:
        assert job_totals.read(redis)["housekeeping", "finished"] == SLOTS


def test_a_housekeeper_brings_back_what_is_lost_and_counts_its_failures(
    valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis = connect(valkey)
    member = TestNode(redis)
    member.node.peers.add("http://b:5000")
    assert member.node.announcer.heard("http://b:5000", "ab" * 32)
    member.queue.jobs.clear()
    keeper = Housekeeper(member.node, redis)
    assert keeper.tick()
    assert list(member.queue.jobs.values()) == [RESOLVE]

    def fail() -> int:
        raise NotBegun

    monkeypatch.setattr(member.node.mempool, "expire", fail)
    member.clock.time += HOUSEKEEPING_SECONDS
    with pytest.raises(NotBegun):
        keeper.tick()
    assert job_totals.read(redis)["housekeeping", "failed"] == 1


def test_a_clock_that_was_ahead_holds_no_slot(valkey: EmbeddedValkey) -> None:
    member = TestNode(connect(valkey))
    member.clock.time += 3600
    assert take_slot(member.node)
    assert not take_slot(member.node)
    member.clock.time -= 3600
    assert take_slot(member.node)


def test_jobs_that_strangers_cause_have_an_end(valkey: EmbeddedValkey) -> None:
    redis = connect(valkey)
    jobs = RqJobs(redis)
    taken = sum(jobs.enqueue_network(RESOLVE, "node1", f"resolve-{number}", HEARD) for number in range(400))
    assert taken == queue(NETWORK, redis).count == MAX_WAITING


def test_a_job_for_what_was_announced_is_forgotten_when_it_is_done(valkey: EmbeddedValkey) -> None:
    """Its id is the same for the next one."""
    redis = connect(valkey)
    jobs = RqJobs(redis)
    assert jobs.enqueue_network(RESOLVE, "node1", "resolve-node1-heard-1", HEARD)
    assert not jobs.enqueue_network(RESOLVE, "node1", "resolve-node1-heard-1", HEARD)
    [job] = queue(NETWORK, redis).get_jobs()
    assert job.result_ttl == 0


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal. Needs Linux; elsewhere it waits for a while."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        time.sleep(2)
        return True
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (number - 1) & 1)


def test_ticker_processes_register_the_node_and_tick_together(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    redis = connect(valkey)
    TestNode(redis)  # whose chain has begun
    with Crew(tmp_path, valkey.url, make_spec()) as crew:
        tickers = [crew.ticker() for _ in range(4)]
        began = time.time()
        eventually(lambda: redis.hexists(NODES, "node1"), what="the registration")
        eventually(lambda: scheduled(valkey), what="the first tick")
        redis.delete(NODES)
        eventually(lambda: redis.hexists(NODES, "node1"), what="the registration of a node that was forgotten")
        eventually(lambda: all(catches(ticker.pid, signal.SIGTERM) for ticker in tickers), what="the last ticker")
        jobs = scheduled(valkey)
        assert 1 <= len(jobs) <= int(time.time() // SLOT_SECONDS) - int(began // SLOT_SECONDS) + 1
        for ticker in tickers:
            ticker.terminate()
        assert [ticker.wait(3) for ticker in tickers] == [0] * 4
