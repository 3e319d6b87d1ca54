"""What does not belong on our queues: broken jobs, foreign workers, orders to suspend. Workers survive."""

import time
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from rq import SimpleWorker
from rq.executions import prepare_execution
from rq.suspension import resume, suspend

import worker.jobs.network
from api.app import create_app
from services import registry
from services.connections.servers import as_store
from services.errors import NotFound
from services.jobs.queues import FAILURE_TTL, HEARD, MINING, NETWORK, AllowListedJob, RqJobs, queue
from services.jobs.worker_names import WorkerName
from services.launch.embedded import EmbeddedValkey
from services.node import Node, build_node
from tests.integration.worker.planted import json_data, plant
from tests.support.crew import Crew
from tests.support.desks import attended
from tests.support.http import Client, FlaskDoor
from tests.support.nodes import make_settings, request_of
from tests.support.servers import connect
from tests.support.specs import make_spec
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import eventually
from worker.process import NodeWorker

SEARCH = "worker.jobs.search.search"
RESOLVE = "worker.jobs.network.resolve"


@pytest.fixture
def scene(valkey: EmbeddedValkey, tmp_path: Path) -> Iterator[tuple[Redis, Node, Crew]]:
    """An empty store with a node whose chain has begun, and processes to be started on it."""
    redis = connect(valkey)
    settings = make_settings(make_spec(difficulty=64), redis_url=valkey.url, broker_url=valkey.url, linger=0.0)
    node = build_node(settings, store=as_store(redis), queue=RqJobs(redis))
    node.chain.initialise()
    registry.register(as_store(redis), settings)
    desk = attended(valkey.url, settings, RqJobs(redis))
    with desk, Crew(tmp_path, valkey.url, settings.spec) as crew:
        yield redis, node, crew


def failed(redis: Redis, name: str = MINING) -> list[str]:
    return queue(name, redis).failed_job_registry.get_job_ids(cleanup=False)


def test_a_worker_lives_through_whatever_lies_in_its_queue(scene: tuple[Redis, Node, Crew]) -> None:
    redis, node, crew = scene
    worker = crew.worker()
    eventually(lambda: RqJobs(redis).mining_workers() == 1)
    good: Any = ("node1", "0" * 32)
    jobs = [
        plant(redis, b"\x00\xff garbage"),
        plant(redis, json_data("no.such.function", *good)),
        plant(redis, zlib.compress(b'["worker.jobs.search.search", null, "node1", {}]')),
        plant(redis, json_data(SEARCH, "node1")),
        plant(redis, json_data(SEARCH, "node1", 5)),
        plant(redis, json_data(SEARCH, "no-such-node", "0" * 32)),
        plant(redis, json_data(SEARCH, "node1", "x" * 10_000_000)),
        plant(redis, json_data(SEARCH, *good), meta="x" * 10_000_000),
        plant(redis, json_data(SEARCH, *good), timeout="soon"),
        plant(redis, json_data(SEARCH, *good), created_at="yesterday"),
        plant(redis, json_data(SEARCH, *good), status="wonderful"),
        plant(redis, json_data("no.such.function"), origin="elsewhere", failure_ttl="-1"),
    ]
    queued = f"rq:queue:{MINING}"
    redis.rpush(queued, "no-such-job", "an id: with/blanks", b"\xff\xfe", "")
    redis.set("rq:job:a-string", "not a hash")
    redis.rpush(queued, "a-string")
    redis.hset("rq:job:stub", "last_heartbeat", "x")
    redis.rpush(queued, "stub")
    eventually(lambda: set(jobs) <= set(failed(redis)), 30, "the failure of each")
    eventually(lambda: redis.llen(queued) == redis.llen(f"rq:intermediate:{queued.removeprefix('rq:queue:')}") == 0)

    # And it does its own work at once.
    watch = Stopwatch(worker.pid)
    request = node.requests.ask()
    assert watch.until(lambda: request_of(node.mining, request).status == "finished", "a block") < 5
    assert worker.poll() is None
    for job in jobs:
        assert 0 < redis.ttl(f"rq:job:{job}") <= FAILURE_TTL
        assert sum(map(len, redis.hvals(f"rq:job:{job}"))) < 20_000
    log = (crew.directory / "mining.log").read_text()
    assert "Traceback" not in log
    assert log.count("\n") < 60 and len(log) < 12_000


def test_a_queue_that_is_no_list_does_not_end_a_worker(scene: tuple[Redis, Node, Crew]) -> None:
    redis, node, crew = scene
    worker = crew.worker()
    eventually(lambda: RqJobs(redis).mining_workers() == 1)
    redis.set(f"rq:queue:{MINING}", "?")
    time.sleep(1.5)
    assert worker.poll() is None
    redis.delete(f"rq:queue:{MINING}")
    request = node.requests.ask()
    eventually(lambda: request_of(node.mining, request).status == "finished", 20, "a block")
    assert worker.poll() is None


def test_failed_jobs_are_bounded(scene: tuple[Redis, Node, Crew]) -> None:
    redis, _, crew = scene
    now = time.time() + 1000
    pipeline = redis.pipeline()
    for number in range(1000):
        name = f"{number:04}-{uuid.uuid4()}"
        pipeline.hset(f"rq:job:{name}", mapping={"data": "x", "status": "failed"})
        pipeline.zadd(f"rq:failed:{NETWORK}", {name: now + number})
    pipeline.execute()
    crew.worker("network")
    eventually(lambda: redis.zcard(f"rq:failed:{NETWORK}") == 200, what="the trimming")
    assert sorted(failed(redis, NETWORK))[0].startswith("0800-")
    assert len(list(redis.scan_iter(match="rq:job:*", count=1000))) < 230


@pytest.mark.parametrize("fails", [False, True], ids=["finished", "failed"])
@pytest.mark.parametrize("heard", [True, False], ids=["forgotten when done", "kept when done"])
@pytest.mark.parametrize("lost", ["record", "all but a heartbeat of the record", "broker"])
def test_a_job_ends_whatever_the_broker_has_lost_of_it(
    scene: tuple[Redis, Node, Crew],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    lost: str,
    heard: bool,
    fails: bool,
) -> None:
    """The record of an execution expires while the store is away; and somebody may empty the broker."""
    redis, node, _ = scene

    def lose(*_: str) -> None:
        [record] = redis.keys("rq:execution:*")
        redis.delete(*(redis.keys("rq:*") if lost == "broker" else [record]))
        if lost.startswith("all but"):
            redis.hset(record, "last_heartbeat", "1")
        if fails:
            raise NotFound("a peer")

    monkeypatch.setattr(worker.jobs.network, "resolve", lose)
    assert RqJobs(redis).enqueue_network(RESOLVE, node.settings.node, "resolve-1", *([HEARD] if heard else []))
    ours = queue(NETWORK, redis)
    works = NodeWorker(
        ours,
        WorkerName(as_store(redis), "anna", "token"),
        connection=redis,
        serializer="json",
        job_class=AllowListedJob,
    )
    execution = prepare_execution(works, job := ours.get_jobs()[0])
    monkeypatch.setattr(works, "heartbeat", lambda *_, **__: None)
    assert works.perform_job(job, ours, execution) is not fails
    assert "Traceback" not in caplog.text
    assert not redis.keys("rq:execution*")
    assert not redis.zrange(ours.started_job_registry.key, 0, -1)
    assert failed(redis, NETWORK) == (["resolve-1"] if fails else [])
    assert bool(redis.exists("rq:job:resolve-1")) is (fails or not heard)


def test_nothing_is_done_before_the_chain_has_begun(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    redis = connect(valkey)
    settings = make_settings(make_spec(), redis_url=valkey.url, broker_url=valkey.url)
    registry.register(as_store(redis), settings)
    with Crew(tmp_path, valkey.url, settings.spec) as crew:
        crew.ticker()
        crew.worker("network")
        eventually(lambda: RqJobs(redis).network_workers() == 1)
        # Left by another program, or enqueued by a ticker of another version.
        names = ("resolve", "housekeeping")
        jobs = RqJobs(redis)
        assert jobs.enqueue_network(RESOLVE, "node1", "resolve")
        assert jobs.enqueue_network("worker.jobs.upkeep.housekeeping", "node1", "housekeeping")
        eventually(lambda: all(redis.hget(f"rq:job:{name}", "status") == b"finished" for name in names))
        time.sleep(1.2)
        assert not [name for name in redis.scan_iter(match="rq:job:*node1*")], "no job of the ticker's"
        build_node(settings, store=as_store(redis), queue=jobs).chain.initialise()
        eventually(lambda: [*redis.scan_iter(match="rq:job:resolve-node1-*")], what="the first tick")
        assert failed(redis, NETWORK) == []
        for log in ("network", "ticker"):
            assert "Traceback" not in (tmp_path / f"{log}.log").read_text()


def test_rest_and_strangers_are_told_of(scene: tuple[Redis, Node, Crew]) -> None:
    redis, node, _ = scene
    client = Client(FlaskDoor(create_app(node, "token")))
    status = client.get("/status").ok()
    assert (status["suspended"], status["foreign_workers"], status["workers"]["mining"]) == (False, 0, 0)
    assert b"Suspended" not in client.get("/mining").body
    stranger = SimpleWorker([queue(MINING, redis)], connection=redis, serializer="json")
    stranger.register_birth()  # type: ignore[no-untyped-call] # RQ leaves it untyped
    suspend(redis)
    status = client.get("/status").ok()
    assert (status["suspended"], status["foreign_workers"], status["workers"]["mining"]) == (True, 1, 0)
    page = client.get("/mining").body
    assert b"Suspended" in page and b"1 worker that is not Quarry" in page
    resume(redis)
    stranger.register_death()  # type: ignore[no-untyped-call] # RQ leaves it untyped
    assert client.get("/status").ok()["foreign_workers"] == 0
