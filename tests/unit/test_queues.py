"""Jobs on the queues: JSON only, named functions only, with ends to their waiting, running and being remembered."""

import json
import zlib
from typing import Any

import pytest
import rq.serializers
from fakeredis import FakeRedis
from rq import Callback, SimpleWorker
from rq.job import Job

from services.queues import (
    ALLOWED,
    ANNOUNCE,
    ANSWER,
    HOUSEKEEPING,
    MINING,
    NETWORK,
    RELAY,
    RESOLVE,
    SEARCH,
    AllowListedJob,
    ForbiddenJob,
    RqJobs,
    queue,
)


@pytest.fixture
def broker() -> FakeRedis:
    return FakeRedis()


def job(broker: FakeRedis, function: Any, **options: Any) -> AllowListedJob:
    """A job as it comes back from the broker, whoever wrote it."""
    written = Job.create(function, connection=broker, serializer="json", **options)
    written.save()
    found = AllowListedJob.fetch(written.id, connection=broker, serializer="json")
    assert isinstance(found, AllowListedJob)
    return found


def test_pickle_is_nowhere_the_default() -> None:
    serializer: object = rq.serializers.JSONSerializer
    assert rq.serializers.DefaultSerializer is serializer
    assert rq.serializers.resolve_serializer(None) is serializer
    assert rq.serializers.resolve_serializer("pickle") is serializer
    with pytest.raises(TypeError):
        rq.serializers.DefaultSerializer.dumps(object())


@pytest.mark.parametrize("function", sorted(ALLOWED))
def test_the_list_allows_our_jobs(broker: FakeRedis, function: str) -> None:
    assert function.startswith("worker.jobs.")
    job(broker, function).require_allowed()


@pytest.mark.parametrize(
    "function", ["os.system", "worker.jobs.search", "worker.jobs.search.search.run", "subprocess.run", f"{SEARCH} "]
)
def test_no_other_function_is_allowed(broker: FakeRedis, function: str) -> None:
    with pytest.raises(ForbiddenJob) as caught:
        job(broker, function).perform()
    assert function.strip() not in str(caught.value)


@pytest.mark.parametrize("callback", ["on_success", "on_failure", "on_stopped"])
def test_callbacks_are_refused_and_forgotten(broker: FakeRedis, callback: str) -> None:
    found = job(broker, SEARCH, **{callback: Callback("os.system")})
    with pytest.raises(ForbiddenJob):
        found.require_allowed()
    assert (found.success_callback, found.failure_callback, found.stopped_callback) == (None, None, None)


def test_methods_of_objects_are_refused(broker: FakeRedis) -> None:
    found = job(broker, SEARCH)
    data = zlib.compress(json.dumps([SEARCH, "worker.jobs", [], {}]).encode())
    broker.hset(found.key, "data", data)
    with pytest.raises(ForbiddenJob):
        AllowListedJob.fetch(found.id, connection=broker, serializer="json").perform()


def test_searches_wait_run_and_are_remembered_for_so_long(broker: FakeRedis) -> None:
    RqJobs(broker).enqueue_search("node1", "a" * 32, 7, 3)
    jobs = queue(MINING, broker).get_jobs()
    assert len(jobs) == 3
    for found in jobs:
        assert (found.func_name, found.args) == (SEARCH, ["node1", "a" * 32])
        assert (found.timeout, found.ttl, found.result_ttl, found.failure_ttl) == (360, 600, 60, 86_400)
        assert found.description == "search round aaaaaaaa height 7 for node1"


def test_a_network_job_is_enqueued_once_per_id(broker: FakeRedis) -> None:
    jobs = RqJobs(broker)
    assert jobs.enqueue_network(ANNOUNCE, "node1", "announce-1", "a" * 64)
    assert not jobs.enqueue_network(ANNOUNCE, "node1", "announce-1", "a" * 64)
    assert jobs.enqueue_network(RELAY, "node1", "relay-1")
    assert [found.id for found in queue(NETWORK, broker).get_jobs()] == ["announce-1", "relay-1"]
    found = queue(NETWORK, broker).get_jobs()[0]
    assert (found.args, found.timeout, found.ttl) == (["node1", "a" * 64], 120, 60)
    assert (found.result_ttl, found.failure_ttl) == (60, 86_400)


def test_the_scheduled_jobs_have_their_own_queue(broker: FakeRedis) -> None:
    RqJobs(broker).enqueue_network(RESOLVE, "node1", "resolve-1")
    RqJobs(broker).enqueue_network(HOUSEKEEPING, "node1", "housekeeping-1")
    assert queue(MINING, broker).count == 0
    # Finishing a long reorganisation may take a while, tidying up may not.
    assert [found.timeout for found in queue(NETWORK, broker).get_jobs()] == [900, 120]


def test_what_somebody_waits_for_goes_first(broker: FakeRedis) -> None:
    jobs = RqJobs(broker)
    jobs.enqueue_network(RESOLVE, "node1", "resolve-1")
    jobs.enqueue_network(ANSWER, "node1", "answer-1", "1")
    assert [found.id for found in queue(NETWORK, broker).get_jobs()] == ["answer-1", "resolve-1"]


def test_workers_are_counted_by_queue(broker: FakeRedis) -> None:
    jobs = RqJobs(broker)
    assert (jobs.mining_workers(), jobs.network_workers()) == (0, 0)
    worker = SimpleWorker([queue(MINING, broker)], connection=broker, serializer="json")
    worker.register_birth()  # type: ignore[no-untyped-call] # RQ leaves it untyped
    assert (jobs.mining_workers(), jobs.network_workers()) == (1, 0)
    worker.register_death()  # type: ignore[no-untyped-call] # RQ leaves it untyped
    assert (jobs.mining_workers(), jobs.network_workers()) == (0, 0)
