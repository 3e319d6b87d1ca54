"""A broker behind real Sentinels: a node of real processes follows a failover, and what is wrong is said."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.exceptions import AuthenticationError
from rq.job import Job

from services.connections.sentinels import NoLeader, Sentinels
from services.connections.servers import connect_for_jobs, connect_for_requests, require_mendable, require_usable
from services.errors import BadSettings, StoreUnavailable
from services.jobs.json_only import SERIALIZER
from services.jobs.queues import RELAY, RqJobs
from services.settings.redis_url import normal
from tests.support.running import RunningNode
from tests.support.sentinels import SENTINEL_PASSWORD, SERVICE, Watched
from tests.support.servers import free_port
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with Watched(tmp_path_factory.mktemp("watched")) as running:
        yield running


def test_a_node_follows_its_broker_and_loses_no_job(watched: Watched, tmp_path: Path) -> None:
    url = normal(watched.url())
    with (
        RunningNode(tmp_path / "node", workers=1, variables={"BROKER_URL": url}) as node,
        connect_for_jobs(url) as broker,
    ):
        jobs = RqJobs(broker)

        def is_done(name: str) -> bool:
            return Job.fetch(name, connection=broker, serializer=SERIALIZER).is_finished

        def mine() -> None:
            height = node.client.get("/status").ok()["height"]
            eventually(lambda: node.client.post("/mine?wait=0").status == 202, 30, "a round", every=0.2)
            eventually(lambda: node.client.get("/status").ok()["height"] > height, 30, "a block", every=0.1)

        mine()
        pids = {name: process.pid for name, process in node.processes.items()}
        # Two jobs before: a frozen worker waits for the first with a command that the dying server has answered; the
        # second is still in the queue.
        leader = watched.leader()
        worker = node.processes["network"].pid
        os.kill(worker, signal.SIGSTOP)
        for name in ("before1", "before2"):
            assert jobs.enqueue_network(RELAY, node.name, name)
        assert watched.ask(leader).wait(1, 5000) == 1  # a job that no replica has yet would be lost
        watched.kill(leader)
        os.kill(worker, signal.SIGCONT)
        began = time.monotonic()
        assert jobs.enqueue_network(RELAY, node.name, "after")  # waits for the failover
        assert time.monotonic() - began < 40
        assert watched.leader() != leader
        for name in ("before1", "before2", "after"):
            eventually(lambda name=name: is_done(name), 40, f"the job {name}", every=0.1)  # type: ignore[misc]
        mine()

        # The dead server comes back as a replica, and leads again by order: who waits for a job is sent away by
        # a server that still answers.
        watched.start_as_replica(leader)
        eventually(lambda: _leads(watched, leader), 60, "the first server to lead", every=0.5)
        assert jobs.enqueue_network(RELAY, node.name, "switched")
        eventually(lambda: is_done("switched"), 40, "the job after the switch", every=0.1)
        mine()
        assert {name: process.pid for name, process in node.processes.items() if process.poll() is None} == pids
        assert "job_unreadable" not in "".join(log.read_text() for log in (tmp_path / "node").glob("*.log"))
        node.client.get("/readyz").ok()


def _leads(watched: Watched, server: int) -> bool:
    """Whether a server leads. If not, the Sentinel is ordered to switch: it gives an order up that takes too long."""
    from redis.exceptions import ResponseError

    if watched.leader() == server:
        return True
    with contextlib.suppress(ResponseError):  # it is about to switch, has just done so, or has not seen the replica yet
        watched.ask(watched.sentinels[0]).execute_command("SENTINEL", "FAILOVER", SERVICE)
    return False


def test_what_is_wrong_is_said(watched: Watched) -> None:
    setting = "QUARRY_BROKER_URL"
    for url, words in (
        (watched.url(name="other"), "no Sentinel knows a server of the name in the URL"),
        (watched.url(login="wrong-Xq7Zk9Wv"), "the server refuses user and password"),
        (watched.url().replace("sentinel://:", "sentinel://:wrong-Xq7Zk9Wv"), "the server refuses user and password"),
    ):
        with pytest.raises(BadSettings, match=f"{setting}: {words}") as caught:
            require_mendable(normal(url), setting)
        assert "Xq7Zk9Wv" not in str(caught.value)
    nobody = watched.url(sentinels=[free_port(), free_port()])
    for url, words in (
        (nobody, r"cannot be reached \(Connection refused\)"),
        (
            watched.url(sentinels=watched.servers, login="the-servers-own-password"),
            "in the place of a Sentinel is none",
        ),
    ):
        with connect_for_requests(normal(url)) as redis, pytest.raises(StoreUnavailable, match=words):
            require_usable(redis, setting)


def test_one_sentinel_that_answers_is_enough_for_many_threads(watched: Watched) -> None:
    dead = [("127.0.0.1", free_port()), ("127.0.0.1", free_port())]
    places = [*dead, *(("127.0.0.1", port) for port in watched.sentinels[:1])]
    sentinels = Sentinels(places, {"password": SENTINEL_PASSWORD}, tls=False)
    found: list[object] = []

    def ask() -> None:
        for _ in range(5):
            try:
                found.append(sentinels.discover_master(SERVICE))
            except Exception as error:
                found.append(error)

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert set(found) == {("127.0.0.1", watched.leader())} and len(found) == 60
    sentinels.close()


def test_the_last_refusal_is_the_cause(watched: Watched) -> None:
    places = [("127.0.0.1", port) for port in (watched.sentinels[0], free_port())]
    sentinels = Sentinels(places, {"password": "wrong"}, tls=False)
    with pytest.raises(NoLeader) as caught:
        sentinels.discover_master(SERVICE)
    assert isinstance(caught.value.__cause__, AuthenticationError)
    sentinels.close()
