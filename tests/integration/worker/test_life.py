"""Worker processes that are told to stop, killed, frozen, or die at the worst moment: requests are answered anyway.

Valkey and the processes are real. Where a test needs its own worker, it differs from ours by a few lines.
"""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from services import registry
from services.connections.servers import as_store
from services.jobs.queues import MINING, NETWORK, RqJobs
from services.jobs.worker_names import own_base
from services.launch.children import Child
from services.launch.embedded import EmbeddedValkey
from services.node import Node, build_node
from services.store.keys import WORKERS
from services.store.mining import MiningStore
from tests.support.crew import Crew
from tests.support.desks import attended
from tests.support.nodes import make_settings, request_of
from tests.support.processes import alive, children, state
from tests.support.servers import connect
from tests.support.specs import make_spec
from tests.support.stopwatch import Stopwatch
from tests.support.stored import assert_store_equals_replay, texts
from tests.support.waiting import eventually, seconds_until

ENDLESS = 2**60

# A worker that finds nothing until the file GATE exists, so that the test decides which worker finds a proof, and when.
GATED = """
import os, time
from pathlib import Path
import worker.process
from services.settings.table import load
from worker.kernel import PlainKernel

class Gated(PlainKernel):
    def scan(self, prefix, difficulty, start, stop):
        if Path(os.environ["GATE"]).exists():
            return super().scan(prefix, difficulty, start, stop)
        time.sleep(0.02)

worker.process.choose = lambda _: Gated()
worker.process.run_worker(load(os.environ), "mining")
"""

# A worker that does something between finding its first proof and handing it in.
WITH_PROOF = """
import os, signal
from pathlib import Path
import worker.process
from services.settings.table import load
from services.store.searches import SearchStore

hand_in = SearchStore.hand_in

def hand_in_late(self, *args):
    mark = Path(os.environ["MARK"])
    if not mark.exists():
        mark.write_text(str(os.getpid()))
        {what}
    return hand_in(self, *args)

SearchStore.hand_in = hand_in_late
worker.process.run_worker(load(os.environ), "mining")
"""


class Scene:
    """One node with its requests, and the processes of a test."""

    def __init__(self, valkey: EmbeddedValkey, redis: Redis, directory: Path, difficulty: int) -> None:
        spec = make_spec(difficulty=difficulty)
        self.redis = redis
        self.directory = directory
        settings = make_settings(spec, redis_url=valkey.url, broker_url=valkey.url, linger=0.0)
        self.node: Node = build_node(settings, store=as_store(redis), queue=RqJobs(redis))
        self.node.chain.initialise()
        registry.register(as_store(redis), settings)
        self.crew = Crew(directory, valkey.url, spec)
        self.desk = attended(valkey.url, settings, RqJobs(redis))
        self.gate = directory / "gate"

    @property
    def mining(self) -> MiningStore:
        return self.node.mining

    def gated(self, name: str) -> Child:
        return self.crew.script(name, GATED, GATE=str(self.gate))

    def with_proof(self, name: str, what: str) -> Child:
        return self.crew.script(name, WITH_PROOF.format(what=what), MARK=str(self.directory / "mark"))

    def reconcilers(self) -> None:
        self.crew.worker("network")
        self.crew.ticker()

    def await_workers(self, count: int) -> None:
        eventually(lambda: RqJobs(self.redis).mining_workers() == count, what=f"{count} workers")

    def await_search(self, count: int = 1) -> str:
        """Wait until `count` workers take part in the open round; its id."""
        eventually(
            lambda: len(self.mining.round_workers(self.mining.situation().open_round or "none")) >= count,
            what="a search",
        )
        return self.mining.situation().open_round

    def horse(self, worker: Child) -> int:
        eventually(lambda: children(worker.pid), what="a job's process")
        return children(worker.pid)[0]

    def await_answer(self, request_id: str, seconds: float = 20.0) -> float:
        taken = seconds_until(lambda: self.status(request_id) == "finished", seconds, "an answer")
        block = request_of(self.mining, request_id).block
        assert block in texts(self.redis.lrange(self.node.chain.keys.heights, 1, -1))
        return taken

    def status(self, request_id: str) -> str:
        return request_of(self.mining, request_id).status


@pytest.fixture
def scene(valkey: EmbeddedValkey, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scene]:
    """A scene with the difficulty of the test's parameter, or with one that takes a moment."""
    redis = connect(valkey)
    scene = Scene(valkey, redis, tmp_path, getattr(request, "param", 2000))
    with scene.desk, scene.crew:
        yield scene
        # After each test, the store must equal the replay.
        assert_store_equals_replay(scene.node, redis)
    eventually(lambda: not any(alive(pid) for pid in scene.crew.left()), 5.0, "the end of all processes")


# --- SIGTERM ---


def test_an_idle_worker_stops_at_once(scene: Scene) -> None:
    worker = scene.crew.worker()
    scene.await_workers(1)
    time.sleep(0.2)  # until it waits for jobs
    watch = Stopwatch(worker.pid)
    worker.terminate()
    took = watch.until(lambda: not alive(worker.pid) and worker.poll() is not None, "the end of the worker")
    assert worker.returncode == 0
    assert RqJobs(scene.redis).mining_workers() == 0
    assert took < 2.0, "by itself it would look at the queue again after five seconds"


@pytest.mark.parametrize("scene", [ENDLESS], indirect=True)
def test_a_searching_worker_stops_at_once_and_the_round_waits_for_another(scene: Scene) -> None:
    worker = scene.crew.worker()
    scene.await_workers(1)
    request_id = scene.node.requests.ask()
    round_id = scene.await_search()
    horse = scene.horse(worker)
    worker.terminate()
    eventually(lambda: not alive(horse), 2.0, "the end of the search")
    # RQ's own farewell takes up to 1.5 s more where two cores are shared by many.
    assert worker.wait(4) == 0
    assert scene.mining.searchers(time.time()) == 0
    found = scene.mining.round(round_id)
    assert found is not None and found.is_open and found.hashes > 0
    assert scene.status(request_id) == "started"


# --- kill -9 ---


def test_the_death_of_the_parent_ends_its_horse_and_another_worker_finishes(scene: Scene) -> None:
    victim, _ = scene.gated("victim"), scene.gated("other")
    scene.await_workers(2)
    request_id = scene.node.requests.ask()
    scene.await_search(2)
    horse = scene.horse(victim)
    victim.kill()
    victim.wait()
    eventually(lambda: not alive(horse), 2.0, "the end of the orphaned horse")
    scene.gate.touch()
    scene.await_answer(request_id)


def test_worker_and_horse_killed_with_another_worker_alive(scene: Scene) -> None:
    victim, _ = scene.gated("victim"), scene.gated("other")
    scene.await_workers(2)
    request_id = scene.node.requests.ask()
    scene.await_search(2)
    horse = scene.horse(victim)
    os.kill(horse, signal.SIGKILL)
    victim.kill()
    victim.wait()
    scene.gate.touch()
    scene.await_answer(request_id)
    assert scene.node.chain.tip().height == 2


def test_worker_and_horse_killed_with_nobody_left(scene: Scene) -> None:
    scene.reconcilers()
    victim = scene.gated("victim")
    scene.await_workers(1)
    request_id = scene.node.requests.ask()
    scene.await_search()
    horse = scene.horse(victim)
    victim.kill()
    os.kill(horse, signal.SIGKILL)
    victim.wait()
    scene.crew.worker(name="successor")
    scene.await_answer(request_id)


def test_only_the_horse_killed(scene: Scene) -> None:
    """The worker stays, its job is lost: the reconciler brings another."""
    scene.reconcilers()
    worker = scene.gated("worker")
    scene.await_workers(1)
    request_id = scene.node.requests.ask()
    scene.await_search()
    scene.gate.touch()
    os.kill(scene.horse(worker), signal.SIGKILL)
    scene.await_answer(request_id)
    assert worker.poll() is None


# --- between the proof and its hand-in ---


def test_death_between_finding_the_proof_and_handing_it_in(scene: Scene) -> None:
    scene.reconcilers()
    worker = scene.with_proof("worker", "os._exit(9)")
    scene.await_workers(1)
    request_id = scene.node.requests.ask()
    mark = scene.directory / "mark"
    eventually(mark.exists, what="the death")
    eventually(lambda: not alive(int(mark.read_text() or 0)))
    assert scene.node.chain.tip().height == 1, "the proof died with its finder"
    scene.await_answer(request_id)
    assert scene.node.chain.tip().height == 2
    assert worker.poll() is None
    assert scene.mining.counters()["rounds_opened"] == 1


def test_a_worker_that_was_frozen_with_its_proof_is_harmless_when_it_wakes(scene: Scene) -> None:
    """SIGSTOP to worker and horse once a proof is found; another finds one meanwhile; then SIGCONT."""
    frozen = scene.with_proof("frozen", "os.kill(os.getppid(), signal.SIGSTOP); os.kill(os.getpid(), signal.SIGSTOP)")
    scene.await_workers(1)
    first, second = scene.node.requests.ask(), scene.node.requests.ask()
    mark = scene.directory / "mark"
    eventually(mark.exists, what="the proof")
    horse = scene.horse(frozen)
    eventually(lambda: [state(pid) for pid in (horse, frozen.pid)] == ["T", "T"], what="the freeze")
    assert scene.node.chain.tip().height == 1

    scene.crew.worker(name="other")
    scene.await_workers(2)
    scene.node.rounds.call_workers(scene.mining.situation().open_round, 2)
    scene.await_answer(first)
    scene.await_answer(second)
    assert scene.node.chain.tip().height == 3
    for pid in (frozen.pid, horse):
        os.kill(pid, signal.SIGCONT)
    eventually(lambda: not alive(horse), what="the end of the late job")
    assert scene.node.chain.tip().height == 3
    assert scene.mining.counters()["blocks_mined"] == 2
    # It works as any other worker again.
    third = scene.node.requests.ask()
    scene.await_answer(third)
    assert frozen.poll() is None


# --- names ---


def test_workers_are_called_by_their_machine(scene: Scene) -> None:
    """Two start at once; one ends, and its successor has its name; one finds its name taken, and takes another."""

    def names(queue: str = MINING) -> set[str]:
        return {key.decode().removeprefix("rq:worker:") for key in scene.redis.smembers(f"rq:workers:{queue}")}

    host = own_base(MINING)
    first, _, _ = scene.crew.worker(name="a"), scene.crew.worker(name="b"), scene.crew.worker("network")
    eventually(lambda: names() == {f"{host}-1", f"{host}-2"}, what="two names")
    eventually(lambda: names(NETWORK) == {f"{host}-network-1"})
    scene.await_answer(scene.node.requests.ask())
    sealed = scene.mining.last_rounds(1)[0]
    assert sealed.sealed_by in names() and set(scene.mining.round_workers(sealed.id)) <= names()

    first.terminate()
    assert first.wait(10) == 0
    eventually(lambda: len(names()) == 1, what="the end of the first")
    [left] = names()
    assert left.encode() in scene.redis.hkeys(WORKERS) and scene.redis.hlen(WORKERS) == 2
    scene.crew.worker(name="c")
    eventually(lambda: names() == {f"{host}-1", f"{host}-2"}, what="the name that was free")

    scene.redis.hset(WORKERS, left, f"another {2**40}")  # while it was frozen, say
    eventually(lambda: f"{host}-3" in names(), 15, "another name")
    assert RqJobs(scene.redis).mining_workers() >= 2
    scene.await_answer(scene.node.requests.ask())


# --- the broker loses everything ---


def test_an_emptied_broker_is_filled_again(scene: Scene) -> None:
    """`rq:*` and the nodes' cards are deleted while a request waits: back within 8 s, with the same processes."""
    scene.reconcilers()
    worker = scene.crew.worker()
    scene.await_workers(1)
    eventually(lambda: RqJobs(scene.redis).network_workers() == 1)
    scene.mining.add_request("a" * 32, time.time(), 64)  # its search job is lost with the rest
    names = [*scene.redis.scan_iter(match="rq:*"), b"quarry:nodes"]
    assert len(names) > 5 and scene.redis.delete(*names) > 5
    assert scene.await_answer("a" * 32, 8.0) < 8.0
    assert worker.poll() is None


@pytest.mark.parametrize("scene", [ENDLESS], indirect=True)
def test_a_worker_that_searches_is_known_again_after_the_broker_was_emptied(scene: Scene) -> None:
    worker = scene.crew.worker()
    scene.await_workers(1)
    scene.node.requests.ask()
    scene.await_search()
    assert scene.redis.delete(*scene.redis.scan_iter(match="rq:*")) > 3
    assert RqJobs(scene.redis).mining_workers() == 0
    eventually(lambda: RqJobs(scene.redis).mining_workers() == 1, what="the worker's return")
    assert children(worker.pid), "in the middle of its search"
