"""Jobs on the queues: JSON only, named functions only, with ends to their waiting, running and being remembered."""

import json
import pickle
import time
import zlib
from typing import Any

import pytest
import rq.serializers
from fakeredis import FakeRedis
from rq import Callback, SimpleWorker
from rq.job import Job
from rq.suspension import resume, suspend

from services.jobs.queues import (
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
from services.jobs.worker_names import WorkerName
from services.ports import QueueTrouble
from services.store.keys import WORKERS


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


def planted(broker: FakeRedis, **fields: Any) -> AllowListedJob:
    """What the class makes of a hash that somebody wrote under a job's key."""
    mapping: Any = {"data": data([SEARCH, None, ["node1", "a" * 32], {}]), "status": "queued", **fields}
    broker.hset("rq:job:planted", mapping=mapping)
    found = AllowListedJob.fetch("planted", connection=broker, serializer="json")
    assert isinstance(found, AllowListedJob)
    return found


def data(value: Any) -> bytes:
    return zlib.compress(json.dumps(value).encode())


@pytest.mark.parametrize(
    "fields",
    [
        {"data": b"\x00\xff garbage"},
        {"data": b""},
        {"data": zlib.compress(pickle.dumps([SEARCH]))},
        {"data": data([SEARCH])},
        {"data": data({"function": SEARCH})},
        {"data": data([SEARCH, None, "abc", {}])},
        {"data": data([7, None, [], {}])},
        {"data": data([SEARCH, None, ["node1", "x" * 10_000_000], {}])},
        {"data": zlib.compress(b"[" * 100_000)},
        {"data": zlib.compress(b" " * 5_000_000)},
        {"data": b"[" * 3000},
        {"description": "x" * 10_000_000},
        {"timeout": "soon"},
        {"created_at": "yesterday"},
        {"status": "wonderful"},
        {"dependency_ids": "{"},
        {"success_callback_name": b"\xff\xfe"},
        {b"\xff": "1"},
    ],
)
def test_whatever_lies_under_a_jobs_key_can_be_handled_and_is_refused(broker: FakeRedis, fields: Any) -> None:
    mapping: Any = {"data": data([SEARCH, None, ["node1", "a" * 32], {}]), "status": "queued", **fields}
    broker.hset("rq:job:planted", mapping=mapping)
    found = AllowListedJob.fetch("planted", connection=broker, serializer="json")
    assert isinstance(found, AllowListedJob)
    with pytest.raises(ForbiddenJob) as caught:
        found.perform()
    assert str(caught.value).count("\n") == 0 and "x" * 20 not in str(caught.value)
    assert (found.func_name, found.args, found.kwargs) == ("", [], {})
    assert sum(len(str(value)) for value in found.to_dict().values()) < 2000, "what is saved of it again is small"
    assert found.failure_ttl == 86_400


@pytest.mark.parametrize(
    "arguments",
    [[], ["node1"], ["node1", "a", "b"], ["node1", 7], ["node1", None], ["node1", ["a"]], ["node1", "x" * 257],
     ["node1", "a\nb"]],
)  # fmt: skip
def test_arguments_of_another_shape_are_refused(broker: FakeRedis, arguments: Any) -> None:
    with pytest.raises(ForbiddenJob):
        planted(broker, data=data([SEARCH, None, arguments, {}])).perform()
    with pytest.raises(ForbiddenJob):
        planted(broker, data=data([SEARCH, None, ["node1", "a" * 32], {"round_id": "b"}])).perform()


@pytest.mark.parametrize("job_id", [b"\xff\xfe", b"", b"an id: with/blanks", b"no-such-job", b"planted"])
def test_a_report_is_made_whatever_lies_first_in_a_queue(broker: FakeRedis, job_id: bytes) -> None:
    planted(broker, data=b"garbage", enqueued_at="now")
    broker.rpush(f"rq:queue:{MINING}", job_id)
    [mining, network] = RqJobs(broker).report().queues
    assert (mining.name, mining.jobs, mining.oldest_seconds, network.jobs) == ("mining", 1, 0.0, 0)


def test_no_job_runs_or_is_remembered_for_ever(broker: FakeRedis) -> None:
    found = planted(broker, timeout="-1", result_ttl="-1", failure_ttl="-1", retries_left="9")
    assert (found.timeout, found.result_ttl, found.failure_ttl) == (900, 60, 86_400)
    assert not found.retries_left


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


def test_a_worker_without_a_sign_of_life_is_not_counted(broker: FakeRedis) -> None:
    """Killed, or lost with the broker that was replaced: RQ's record may stay for minutes."""
    name = WorkerName(broker, "anna", "token").take()
    worker = SimpleWorker([queue(MINING, broker)], name=name, connection=broker, serializer="json")
    worker.register_birth()  # type: ignore[no-untyped-call] # RQ leaves it untyped
    jobs, now = RqJobs(broker), int(time.time())
    for age, count in ((0, 1), (12, 1), (17, 0), (600, 0)):  # seconds since the last heartbeat
        broker.hset(WORKERS, name, f"token {now - age + 90}")
        assert jobs.mining_workers() == count
        assert jobs.trouble() == QueueTrouble(False, 0), "it is not a stranger for that"
    for entry in ("", "token", "token soon", "token -5"):
        broker.hset(WORKERS, name, entry)
        assert jobs.mining_workers() == 0


def test_what_somebody_waits_for_goes_first(broker: FakeRedis) -> None:
    jobs = RqJobs(broker)
    jobs.enqueue_network(RESOLVE, "node1", "resolve-1")
    jobs.enqueue_network(ANSWER, "node1", "answer-1", "1")
    assert [found.id for found in queue(NETWORK, broker).get_jobs()] == ["answer-1", "resolve-1"]


def test_workers_are_counted_by_queue(broker: FakeRedis) -> None:
    jobs = RqJobs(broker)
    assert (jobs.mining_workers(), jobs.network_workers()) == (0, 0)
    name = WorkerName(broker, "anna", "token").take()
    worker = SimpleWorker([queue(MINING, broker)], name=name, connection=broker, serializer="json")
    worker.register_birth()  # type: ignore[no-untyped-call] # RQ leaves it untyped
    assert (jobs.mining_workers(), jobs.network_workers()) == (1, 0)
    assert jobs.trouble() == QueueTrouble(False, 0)
    stranger = SimpleWorker([queue(MINING, broker), queue(NETWORK, broker)], connection=broker, serializer="json")
    stranger.register_birth()  # type: ignore[no-untyped-call] # RQ leaves it untyped
    assert (jobs.mining_workers(), jobs.network_workers()) == (1, 0)
    assert jobs.trouble() == QueueTrouble(False, 1)
    stranger.register_death()  # type: ignore[no-untyped-call] # RQ leaves it untyped
    suspend(broker)
    assert jobs.trouble() == QueueTrouble(True, 0)
    resume(broker)
    assert jobs.trouble() == QueueTrouble(False, 0)
    worker.register_death()  # type: ignore[no-untyped-call] # RQ leaves it untyped
    assert (jobs.mining_workers(), jobs.network_workers()) == (0, 0)
