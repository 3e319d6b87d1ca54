"""Workers that come and go in the middle of a round, serve several nodes, or must not serve one: real processes."""

import json
import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest
from redis import Redis

from api.representations import represent_round
from services import registry
from services.connections.servers import as_store
from services.jobs.queues import RqJobs
from services.launch.children import Child
from services.launch.embedded import EmbeddedValkey
from services.node import Node, build_node
from services.store.keys import NODES
from services.store.searches import Searched
from services.system.programs import module_command
from tests.support.clocks import START
from tests.support.crew import Crew
from tests.support.desks import attended
from tests.support.nodes import TestNode, make_settings, request_of, round_of
from tests.support.processes import alive, children
from tests.support.searching import claim_of
from tests.support.servers import connect
from tests.support.specs import make_spec
from tests.support.stopwatch import Stopwatch
from tests.support.stored import assert_store_equals_replay
from tests.support.waiting import eventually, seconds_until
from worker.jobs.search import TURN_SECONDS
from worker.kernel.plain import PlainKernel

ENDLESS = 2**60

# A worker that finds nothing until the file GATE exists, and records what it scans.
RECORDING = """
import os, time
from pathlib import Path
import worker.process
from services.settings.table import load
from worker.kernel import PlainKernel

record = os.open(os.environ["RECORD"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

class Recording(PlainKernel):
    def scan(self, prefix, difficulty, start, stop):
        if start != 10**9 or prefix != b"0" * 64:  # the measurement at the start
            os.write(record, b"%s %d %d\\n" % (prefix, start, stop))
        if Path(os.environ["GATE"]).exists():
            return super().scan(prefix, difficulty, start, stop)
        time.sleep(0.02)

worker.process.choose = lambda _: Recording()
worker.process.run_worker(load(os.environ), "mining")
"""

# A worker that finds nothing under ENDLESS, in the time that a search takes, without keeping a processor busy.
PATIENT = f"""
import os, time
import worker.process
from services.settings.table import load
from worker.kernel import PlainKernel

class Patient(PlainKernel):
    def scan(self, prefix, difficulty, start, stop):
        if difficulty < {ENDLESS}:
            return super().scan(prefix, difficulty, start, stop)
        time.sleep((stop - start) / 1_000_000)

worker.process.choose = lambda _: Patient()
worker.process.run_worker(load(os.environ), "mining")
"""

# A worker whose code is of another version.
OTHER_VERSION = """
import os
from services import registry
from services.settings.table import load
import worker.process
registry.PROTOCOL = 99
worker.process.run_worker(load(os.environ), "mining")
"""


class Scene:
    """Nodes on one Valkey, which is also their broker, and workers. There is a desk, and no ticker."""

    def __init__(self, valkey: EmbeddedValkey, directory: Path) -> None:
        self.url = valkey.url
        self.redis: Redis = connect(valkey)
        self.directory = directory
        self.crew = Crew(directory, valkey.url, make_spec())
        self.desks = ExitStack()
        self.gate = directory / "gate"
        self.record = directory / "record"
        # A worker that knows only the broker's address.
        self.nothing_else = {name: "" for name in self.crew.environment if name.startswith("QUARRY_")}
        self.nothing_else |= {"QUARRY_BROKER_URL": valkey.url, "QUARRY_KERNEL": "plain", "QUARRY_LINGER": "0"}

    def node(self, name: str = "node1", difficulty: int = 2000) -> Node:
        spec = make_spec(difficulty=difficulty)
        settings = make_settings(spec, node=name, redis_url=self.url, broker_url=self.url, linger=0.0)
        node = build_node(settings, store=as_store(self.redis), queue=RqJobs(self.redis))
        node.chain.initialise()
        registry.register(as_store(self.redis), settings)
        self.desks.enter_context(attended(self.url, settings, RqJobs(self.redis)))
        return node

    def worker(self, name: str, **environment: str) -> Child:
        command = module_command("worker", "worker", "--queue", "mining")
        return self.crew.run(name, command, **(self.nothing_else | environment))

    def recording(self, name: str) -> Child:
        places = {"GATE": str(self.gate), "RECORD": str(self.record)}
        return self.crew.script(name, RECORDING, **(self.nothing_else | places))

    def patient(self, name: str) -> Child:
        return self.crew.script(name, PATIENT, **self.nothing_else)

    def log(self, name: str) -> str:
        return (self.directory / f"{name}.log").read_text(errors="replace")

    def await_workers(self, count: int) -> None:
        eventually(lambda: RqJobs(self.redis).mining_workers() == count, what=f"{count} workers")

    def await_search(self, node: Node, count: int) -> float:
        """Wait until so many workers have taken part in the open round; seconds."""
        round_id = node.mining.situation().open_round
        return seconds_until(
            lambda: len(node.mining.round_workers(round_id)) >= count, what=f"{count} searching workers"
        )


@pytest.fixture
def scene(valkey: EmbeddedValkey, tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(valkey, tmp_path)
    with scene.desks, scene.crew:
        yield scene
    assert not [pid for process in scene.crew.started for pid in [process.pid, *children(process.pid)] if alive(pid)]


def kill(worker: Child) -> None:
    """Kill a worker and its job with SIGKILL."""
    for pid in [*children(worker.pid), worker.pid]:
        os.kill(pid, signal.SIGKILL)
    worker.wait()


def answered(node: Node, request_id: str) -> bool:
    return request_of(node.mining, request_id).status == "finished"


# --- joining and leaving ---


def test_four_workers_two_killed_three_added_and_nothing_is_lost(scene: Scene) -> None:
    node = scene.node()
    crew = [scene.recording(f"first{number}") for number in range(4)]
    scene.await_workers(4)
    request_id = node.requests.ask()
    scene.await_search(node, 4)
    for victim in crew[:2]:
        kill(victim)
    for number in range(3):
        scene.recording(f"later{number}")
    scene.await_search(node, 7)
    assert not answered(node, request_id)
    scene.gate.touch()
    eventually(lambda: answered(node, request_id), what="the block")
    assert node.chain.tip().height == 2
    found = round_of(node.mining, request_of(node.mining, request_id).round_id)
    assert found.state == "sealed"
    assert_store_equals_replay(node, scene.redis)

    ranges: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for line in scene.record.read_text().splitlines():
        prefix, start, stop = line.split()
        ranges[prefix].append((int(start), int(stop)))
    assert sum(map(len, ranges.values())) > 7
    for scanned in ranges.values():
        scanned.sort()
        assert all(stop <= after for (_, stop), (after, _) in pairwise(scanned))


def test_a_worker_that_starts_while_a_round_is_open_joins_it(scene: Scene) -> None:
    node = scene.node(difficulty=ENDLESS)
    scene.worker("first")
    scene.await_workers(1)
    node.requests.ask()
    scene.await_search(node, 1)
    scene.worker("second")
    scene.await_workers(2)
    assert scene.await_search(node, 2) < 3.0


def test_a_worker_whose_search_was_killed_takes_part_again(scene: Scene) -> None:
    node = scene.node(difficulty=ENDLESS)
    worker = scene.worker("worker")
    scene.worker("other")
    scene.await_workers(2)
    node.requests.ask()
    scene.await_search(node, 2)
    (horse,) = children(worker.pid)
    os.kill(horse, signal.SIGKILL)
    eventually(lambda: children(worker.pid) not in ([], [horse]), 5.0, "the next search of the same worker")
    assert worker.poll() is None


def test_a_worker_from_elsewhere_needs_the_brokers_url_and_nothing_else(scene: Scene) -> None:
    node = scene.node("far", difficulty=1000)
    unset = dict.fromkeys(scene.nothing_else, "")
    scene.worker("remote", **(unset | {"QUARRY_BROKER_URL": scene.url}))
    eventually(lambda: RqJobs(scene.redis).mining_workers() == 1, 60, "a worker whose kernel may have to be compiled")
    request_id = node.requests.ask()
    eventually(lambda: answered(node, request_id), what="the block")
    assert node.chain.account(node.settings.reward_address).balance == node.settings.spec.reward


# --- several nodes ---


def test_one_worker_serves_two_nodes(scene: Scene) -> None:
    nodes = [scene.node("alpha"), scene.node("beta", difficulty=3000)]
    scene.worker("worker")
    scene.await_workers(1)
    requests = [(node, node.requests.ask()) for _ in range(3) for node in nodes]
    for node, request_id in requests:
        eventually(lambda node=node, name=request_id: answered(node, name), what="a block")  # type: ignore[misc]
    assert [node.chain.tip().height for node in nodes] == [4, 4]
    for node in nodes:
        assert_store_equals_replay(node, scene.redis)


def test_a_hopeless_round_of_one_node_does_not_keep_the_other_waiting(scene: Scene) -> None:
    hopeless, other = scene.node("alpha", ENDLESS), scene.node("beta")
    scene.patient("worker")
    scene.await_workers(1)
    hopeless.requests.ask()
    scene.await_search(hopeless, 1)
    round_id = hopeless.mining.situation().open_round
    request_id = other.requests.ask()
    eventually(lambda: answered(other, request_id), TURN_SECONDS + 10, "the other node's block")
    before = round_of(hopeless.mining, round_id).hashes
    eventually(lambda: round_of(hopeless.mining, round_id).hashes > before, what="the first node's next turn")


# --- stopping ---


def test_a_cancelled_round_stops_within_a_slice(scene: Scene) -> None:
    node = scene.node(difficulty=ENDLESS)
    scene.patient("worker")
    scene.await_workers(1)
    node.requests.ask()
    round_id = node.mining.situation().open_round
    # Until its claims are long: a search that only looks between claims would be noticed.
    eventually(lambda: round_of(node.mining, round_id).hashes > 0)
    time.sleep(4.0)
    watch = Stopwatch(*scene.crew.left())
    node.requests.cancel(round_id)
    ended = round_of(node.mining, round_id).ended_at
    assert ended is not None
    watch.until(lambda: not node.mining.searchers(time.time()), "the end of the search")
    last = max(worker.last for worker in node.mining.round_workers(round_id).values())
    assert last - ended - watch.waited() < 0.8
    found = round_of(node.mining, round_id)
    assert 0 < found.wasted < found.hashes


def test_a_moved_tip_gives_the_round_a_new_template_at_once(scene: Scene) -> None:
    node = scene.node()
    scene.recording("worker")
    scene.await_workers(1)
    request_id = node.requests.ask()
    scene.await_search(node, 1)
    round_id = node.mining.situation().open_round
    template = node.rules.template(node.chain.window(node.chain.tip()), [], "0x" + "5" * 40, node.clock.now())
    proof = PlainKernel().scan(template.seal, template.difficulty, 0, 10**6)
    assert proof is not None
    watch = Stopwatch(*scene.crew.left())
    node.acceptor.accept(node.rules.read_block(template.with_proof(proof)))  # as if it came from a peer
    assert watch.until(lambda: round_of(node.mining, round_id).version == "2") < 2.0
    assert not answered(node, request_id)
    scene.gate.touch()
    eventually(lambda: answered(node, request_id), what="the block")
    assert node.chain.tip().height == 3


# --- refusing ---


def test_a_worker_of_another_version_says_so_and_leaves_the_job_to_others(scene: Scene) -> None:
    node = scene.node()
    scene.crew.script("other", OTHER_VERSION, **scene.nothing_else)
    eventually(lambda: "protocol 99" in scene.log("other"), what="the refusal at the start")
    request_id = node.requests.ask()
    eventually(lambda: "search_refused" in scene.log("other"), what="the refusal of the job")
    assert not answered(node, request_id)
    scene.worker("right")
    eventually(lambda: answered(node, request_id), what="the block")
    assert "cannot serve the node node1" in scene.log("other") and "run the same version on both" in scene.log("other")


def test_a_worker_that_is_bound_to_another_chain_spec_refuses(scene: Scene) -> None:
    node = scene.node("other-chain")
    scene.worker("bound", QUARRY_SPEC="network")
    eventually(lambda: "node_refused" in scene.log("bound"), what="the refusal")
    assert "bound to the chain spec network" in scene.log("bound")
    request_id = node.requests.ask()
    eventually(lambda: "search_refused" in scene.log("bound"), what="the refusal of the job")
    assert not answered(node, request_id)


@pytest.mark.parametrize("change", [{"protocol": 0}, {"protocol": None}, {"spec": {"name": "x"}}])
def test_a_card_that_this_code_cannot_read_is_refused_by_name(redis_url: str, change: dict[str, object]) -> None:
    with Redis.from_url(redis_url) as redis:
        settings = make_settings(make_spec(), node="strange")
        registry.register(as_store(redis), settings)
        card = json.loads(redis.hget(NODES, "strange") or "")
        redis.hset(NODES, "strange", json.dumps(card | change))
        with pytest.raises(registry.Unserved, match="strange"):
            registry.look_up(as_store(redis), "strange", settings)
        redis.hdel(NODES, "strange")


# --- rates ---


def test_rates_count_from_each_workers_first_claim_and_only_who_is_there(valkey: EmbeddedValkey) -> None:
    here = TestNode(connect(valkey))
    here.node.requests.ask()
    round_id = here.node.mining.situation().open_round

    def claim(worker: str, hashes: int) -> None:
        taken = claim_of(here.node, round_id, worker, 1000, Searched("1", hashes))
        assert taken is not None

    claim("early", 0)
    here.clock.time += 8
    claim("late", 0)
    here.clock.time += 2
    claim("early", 1000)
    claim("late", 200)
    view = represent_round(here.node, round_of(here.node.mining, round_id))
    assert [(worker["name"], worker["rate"]) for worker in view["workers"]] == [("early", 100), ("late", 100)]
    assert (view["rate"], view["hashes"], view["expected_seconds"]) == (200, 1200, view["difficulty"] / 200)
    here.clock.time += 10  # the late one has gone
    claim("early", 1000)
    view = represent_round(here.node, round_of(here.node.mining, round_id))
    assert view["rate"] == 100
    assert here.clock.now() == START + 20
    # It comes back, or another worker has its name: the time for which it was away is not counted.
    claim("late", 0)
    here.clock.time += 2
    claim("late", 200)
    view = represent_round(here.node, round_of(here.node.mining, round_id))
    assert [(worker["name"], worker["rate"]) for worker in view["workers"]] == [("early", 100), ("late", 100)]


def test_a_worker_that_is_not_needed_claims_nothing(valkey: EmbeddedValkey) -> None:
    here = TestNode(connect(valkey), make_settings(make_spec(difficulty=100)))
    here.node.requests.ask()
    round_id = here.node.mining.situation().open_round

    def claim(worker: str, if_needed: bool) -> range:
        taken = claim_of(here.node, round_id, worker, 300, Searched(), if_needed=if_needed)
        assert taken is not None
        return taken.proofs

    assert claim("first", if_needed=True) == range(300)
    assert claim("second", if_needed=True) == range(0)
    assert set(here.node.mining.round_workers(round_id)) == {"first"}
    assert claim("second", if_needed=False) == range(300, 600)
