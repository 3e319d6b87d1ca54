"""What strangers can make a node do to its peers and to its clients. The nodes are real processes."""

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from services.jobs import totals as job_totals
from services.jobs.queues import NETWORK, queue
from tests.support.keys import TOKEN
from tests.support.raw_server import Connection, RawServer, response
from tests.support.running import RunningNode
from tests.support.waiting import eventually

ADMIN = {"Authorization": f"Bearer {TOKEN}"}
PER_SECOND = 31


class Peer:
    """An honest peer whose chain is no better than the node's. It counts requests, and can drip."""

    def __init__(self, genesis: str) -> None:
        self.asked: list[float] = []
        self.claims: dict[str, object] = {"genesis": genesis, "tip": genesis, "height": 1, "chainwork": 0}

    def __call__(self, connection: Connection) -> None:
        path = connection.request.split(b" ")[1]
        if path == b"/status":
            self.asked.append(time.monotonic())
            connection.send(response(json.dumps(self.claims).encode()))
        else:
            connection.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b" " * 100, 0.5)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with RunningNode(tmp_path_factory.mktemp("flooded"), workers=0, variables={"API_PROCESSES": "2"}) as made:
        yield made


@contextmanager
def peer_of(node: RunningNode) -> Iterator[tuple[Peer, str]]:
    peer = Peer(node.client.get("/status").ok()["genesis"])
    with RawServer(peer) as server:
        node.client.post("/nodes/register", {"nodes": [server.url]}, **ADMIN).ok(201)
        try:
            yield peer, server.url
        finally:
            body = json.dumps({"nodes": [server.url]}).encode()
            node.door.call("DELETE", "/nodes", body, Content_Type="application/json", **ADMIN).ok()


@contextmanager
def repeated(act: Callable[[], object], per_second: float, threads: int = 1) -> Iterator[list[float]]:
    """Do something again and again, in threads, until the block ends. Yields the times at which it was done."""
    stop, done = threading.Event(), list[float]()

    def again() -> None:
        while not stop.wait(threads / per_second):
            act()
            done.append(time.monotonic())

    workers = [threading.Thread(target=again) for _ in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield done
    finally:
        stop.set()
        for worker in workers:
            worker.join(90)
            assert not worker.is_alive()


def kept_house(node: RunningNode) -> float:
    with node.redis() as redis:
        return job_totals.read(redis).get(("housekeeping", "finished"), 0.0)


def false_announcements(node: RunningNode, seconds: float) -> None:
    """31 announcements a second in the name of a peer, none of them true."""
    with peer_of(node) as (peer, url):

        def announce() -> None:
            news = {"url": url, "hash": secrets.token_hex(32), "height": 2**53, "chainwork": 2**255}
            node.client.post("/nodes/announce", news).ok(202)

        before, peer.asked[:] = kept_house(node), []
        waits: list[float] = []
        longest = 0
        began = time.monotonic()
        with repeated(announce, PER_SECOND, threads=2) as announced:
            while time.monotonic() - began < seconds:
                asked = time.monotonic()
                node.client.get("/nodes/resolve?wait=30").ok()
                waits.append(time.monotonic() - asked)
                with node.redis() as redis:
                    longest = max(longest, queue(NETWORK, redis).count)
                time.sleep(0.5)
        took = time.monotonic() - began
        print(
            f"{len(announced) / took:.0f} false announcements a second for {took:.0f} s: a resolve by hand takes "
            f"{max(waits):.1f} s at most; the peer is asked {len(peer.asked) / took:.2f} times a second; "
            f"{longest} jobs wait at most; house was kept {kept_house(node) - before:.0f} times"
        )
        assert len(announced) / took > PER_SECOND / 3, "this was no flood"
        assert max(waits) <= 5
        assert len(peer.asked) <= took + 1
        assert longest <= 8
        assert kept_house(node) - before >= took / 5 - 2


def test_false_announcements(node: RunningNode) -> None:
    false_announcements(node, 5)


@pytest.mark.slow
def test_false_announcements_for_half_a_minute(node: RunningNode) -> None:
    false_announcements(node, 30)


def test_many_who_want_to_resolve(node: RunningNode) -> None:
    """The same runs answer all who wait, and the peer is asked once a second."""
    with peer_of(node) as (peer, _):
        peer.asked.clear()
        began = time.monotonic()
        with repeated(lambda: node.client.get("/nodes/resolve?wait=30").ok(), 1000, threads=16) as answered:
            time.sleep(4)
            eventually(lambda: len(answered) >= 16, 60, "an answer to each of the threads")
        took = time.monotonic() - began
        print(f"{len(answered)} resolves by hand in {took:.1f} s: the peer was asked {len(peer.asked)} times")
        assert len(peer.asked) <= took + 1


def test_housekeeping_does_not_wait_for_a_peer_that_drips(node: RunningNode) -> None:
    """While a peer holds the only network worker, housekeeping goes on and brings back what was lost."""
    with peer_of(node) as (peer, _):
        peer.claims |= {"chainwork": 10**9, "tip": "ab" * 32, "height": 99}
        with node.redis() as redis:
            answers = threading.Thread(target=lambda: node.client.get("/nodes/resolve?wait=30"))
            answers.start()
            try:
                eventually(lambda: b"started" in _statuses(redis), 15)
                before = kept_house(node)
                began = time.monotonic()
                eventually(lambda: kept_house(node) > before, 7)
                print(f"house is kept after {time.monotonic() - began:.1f} s beside a run that a peer holds up")
            finally:
                answers.join(60)


def _statuses(redis: "object") -> list[bytes]:
    names = list(redis.scan_iter("rq:job:*"))  # type: ignore[attr-defined] # redis-py's
    return [redis.hget(name, "status") for name in names if redis.type(name) == b"hash"]  # type: ignore[attr-defined] # the same
