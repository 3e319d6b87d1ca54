"""The five ports of a simulated node: clock, randomness, HTTP to peers, store and queue."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from lab.simulated.checker import Violation
from lab.simulated.strangers import Dripping
from services.errors import PeerFailed
from services.jobs.queues import ANSWER, HEARD, RELAY, RESOLVE
from services.peers import patience
from services.peers.http import PeerRequest, Stream, outcome
from services.ports import QueueReport, QueueTrouble
from shared.errors import NodeError

if TYPE_CHECKING:
    from lab.simulated.network import Network
    from lab.simulated.node import SimNode

Answer = TypeVar("Answer")

# The first lines of the scripts between which a reorganisation can be interrupted.
SLICES = ("-- Swap", "-- One slice", "-- The last slice")
# Scripts that compare what was read before with what is stored now.
RACES = {"-- Swap": "swap", "-- Appe": "append", "-- Put ": "admission", "-- One ": "slice"}


class SimClock:
    """Simulated time as one node's clock shows it."""

    def __init__(self, world: Network, node: SimNode) -> None:
        self._world = world
        self._node = node

    def now(self) -> float:
        return self._world.time + self._node.skew

    def sleep(self, seconds: float) -> None:
        self._world.scheduler.sleep(seconds)


class SeededRandomness:
    """Ids that the seed decides."""

    def __init__(self, world: Network) -> None:
        self._random = world.random

    def token(self) -> str:
        return f"{self._random.getrandbits(128):032x}"


class SimStore:
    """A store. Each command may be preempted, may be the last of its process, or may lose its reply.

    Args:
        raw: redis-py's methods over a database.
        repeats: whether a lost reply makes the connection repeat the command (jobs), or fail (requests).
    """

    def __init__(self, world: Network, node: SimNode, raw: Any, *, repeats: bool) -> None:
        self._world = world
        self._node = node
        self._raw = raw
        self._repeats = repeats

    def __getattr__(self, name: str) -> Callable[..., Any]:
        assert name not in ("blmove", "xread"), "nothing may block in the simulation"
        method = getattr(self._raw, name)

        def call(*arguments: Any, **options: Any) -> Any:
            return self.command(lambda: method(*arguments, **options), "")

        self.__dict__[name] = call
        return call

    def pipeline(self, *, transaction: bool) -> SimPipeline:
        return SimPipeline(self, self._raw, transaction)

    def register_script(self, text: str) -> SimScript:
        return SimScript(self, self._raw.register_script(text), text.partition("\n")[0])

    def command(self, run: Callable[[], Any], name: str) -> Any:
        """Run one command, or a transaction."""
        world, node, faults = self._world, self._node, self._world.faults
        scheduler, random = world.scheduler, world.random
        task = scheduler.current
        if task is None:
            return self._run(run)
        scheduler.checkpoint()
        if random.random() < faults.preempt:
            world.met("preempted")
            scheduler.sleep(random.expovariate(200.0))
        # Reorganisations are rare, so most of them are made to race.
        if name[:7] in RACES and random.random() < faults.race * (4 if name.startswith("-- Swap") else 1):
            self._lose_the_race(RACES[name[:7]])
        if name.startswith("-- Appe") and self._node.seals(task.owners[-1]) and random.random() < faults.proof_death:
            world.met("death between proof and append")
            task.owners[-1].alive = False
            scheduler.checkpoint()
        if faults.stall and random.random() < faults.stall:
            world.met("stalled")
            scheduler.sleep(random.uniform(1.0, 30.0))
        if node.store_down:
            raise RedisConnectionError("The simulated store is down.")
        if faults.cut_reply and random.random() < faults.cut_reply:
            world.met("reply cut")
            self._run(run)
            if not self._repeats:
                raise RedisConnectionError("The simulated reply was cut.")
        result = self._run(run)
        death = faults.death
        if faults.slice_death and name.startswith(SLICES):
            death = max(death, faults.slice_death)
        if death and random.random() < death:
            world.met("death in a reorganisation" if name.startswith(SLICES) else "death")
            task.owners[-1].alive = False
            scheduler.checkpoint()
        return result

    def _lose_the_race(self, what: str) -> None:
        """Wait until another process has changed the chain that the command was prepared for, or for some seconds."""
        checker, scheduler = self._node.checker, self._world.scheduler
        tip, journal = checker.tip, self._raw.get(checker.keys.journal)
        if journal is not None:
            self._world.reorganising(self._node)
        for _ in range(60):
            scheduler.sleep(0.1)
            if checker.tip is not tip or self._raw.get(checker.keys.journal) != journal:
                self._world.met(f"race lost by {what}")
                return

    def _run(self, run: Callable[[], Any]) -> Any:
        try:
            return run()
        finally:
            self._node.written()


class SimScript:
    """A registered script with the same hooks."""

    def __init__(self, store: SimStore, script: Any, name: str) -> None:
        self._store = store
        self._script = script
        self._name = name

    def __call__(self, *, keys: Any, args: Any, client: SimPipeline | None = None) -> Any:
        if client is not None:
            client.add(lambda raw: self._script(keys=keys, args=args, client=raw))
            return client
        return self._store.command(lambda: self._script(keys=keys, args=args), self._name)


class SimPipeline:
    """Commands sent together: as a transaction they run at one moment, else other commands can run between them."""

    def __init__(self, store: SimStore, raw: Any, transaction: bool) -> None:
        self._store = store
        self._raw = raw
        self._transaction = transaction
        self._calls: list[Callable[[Any], Any]] = []

    def add(self, call: Callable[[Any], Any]) -> None:
        self._calls.append(call)

    def __getattr__(self, name: str) -> Callable[..., SimPipeline]:
        def call(*arguments: Any, **options: Any) -> SimPipeline:
            self.add(lambda raw: getattr(raw, name)(*arguments, **options))
            return self

        return call

    def execute(self) -> list[Any]:
        calls, self._calls = self._calls, []
        if self._transaction:
            return list(self._store.command(lambda: self._together(calls), ""))
        return [self._store.command(partial(self._together, [call]), "")[0] for call in calls]

    def _together(self, calls: list[Callable[[Any], Any]]) -> list[Any]:
        pipeline = self._raw.pipeline(transaction=self._transaction)
        for call in calls:
            call(pipeline)
        return list(pipeline.execute())


class SimHttp:
    """Requests to peers, through a network that delays, drops, repeats and cuts them."""

    def __init__(self, world: Network, node: SimNode) -> None:
        self._world = world
        self._node = node

    def exchange(self, request: PeerRequest) -> tuple[int, bytes]:
        world, faults, random = self._world, self._world.faults, self._world.random
        try:
            status, body = self._exchange(request)
        except PeerFailed as failure:
            world.log(f"{self._node.name} -> {request.url} {request.path[:24]} failed: {failure}")
            raise
        if random.random() < faults.truncate:
            world.met("answer truncated")
            raise PeerFailed("The peer did not answer as it should (IncompleteRead).")
        if len(body) > request.max_bytes:
            raise PeerFailed(f"The peer's answer is longer than {request.max_bytes} bytes.")
        digest = hashlib.sha256(body).hexdigest()[:12]
        world.log(f"{self._node.name} -> {request.url} {request.path[:24]} {status} {digest}")
        return status, body

    @contextmanager
    def stream(self, request: PeerRequest) -> Iterator[Stream]:
        status, body = self.exchange(request)
        yield Stream(status, iter([body]))

    def _exchange(self, request: PeerRequest) -> tuple[int, bytes]:
        world, faults, random = self._world, self._world.faults, self._world.random
        sleep = world.scheduler.sleep
        if not world.connected(self._node.url, request.url):
            world.met("partitioned")
            return self._lost(request)
        if random.random() < faults.drop:
            world.met("request dropped")
            return self._lost(request)
        if request.path == "/status" and request.url in world.honest:
            try:
                world.questions.asked(self._node.name, request.url, world.time)
            except Violation as violation:
                world.fail(str(violation))
        sleep(random.expovariate(50.0))
        if random.random() < faults.slow:
            world.met("request slow")
            sleep(random.uniform(0.0, 2.5 * request.deadline))
        try:
            answer = world.serve(request.url, request.method, request.path, request.body)
        except Dripping:
            sleep(min(request.deadline, patience.PATIENCE))
            raise PeerFailed("The peer did not finish its answer in time.") from None
        if random.random() < faults.duplicate and request.url not in world.unrepeatable:
            world.met("request doubled")
            sleep(random.expovariate(10.0))
            answer = world.serve(request.url, request.method, request.path, request.body)
        if random.random() < faults.drop or not world.connected(self._node.url, request.url):
            world.met("answer dropped")
            return self._lost(request)
        if answer is None:
            raise PeerFailed("The peer did not answer as it should (ConnectionRefusedError).")
        return answer

    def _lost(self, request: PeerRequest) -> tuple[int, bytes]:
        self._world.scheduler.sleep(request.deadline)
        raise PeerFailed("The peer did not finish its answer in time.")

    def in_parallel(self, ask: Callable[[str], Answer], urls: Sequence[str]) -> list[Answer | NodeError]:
        if len(urls) < 2:
            return [outcome(ask, url) for url in urls]
        scheduler = self._world.scheduler
        parent = scheduler.current
        assert parent is not None, "jobs run in tasks"
        answers: dict[str, Answer | NodeError] = {}
        broken: list[RedisError] = []

        def keep(url: str) -> None:
            try:
                answers[url] = outcome(ask, url)
            except RedisError as error:
                broken.append(error)

        process = parent.owners[-1]
        scheduler.join([scheduler.spawn(f"{parent.name} {url}", process, partial(keep, url)) for url in urls])
        scheduler.checkpoint()
        if broken:  # one thread that dies ends the whole call, as in `pool.map`
            raise broken[0]
        return [answers[url] for url in urls]


class SimQueue:
    """The broker of one node: jobs arrive late, twice or never. Workers take them one at a time."""

    def __init__(self, world: Network, node: SimNode) -> None:
        self._world = world
        self._node = node
        self.known: dict[str, float] = {}  # job id -> the time at which it is forgotten
        self.waiting: dict[str, list[tuple[str, tuple[str, ...]]]] = {"network": [], "mining": []}

    def enqueue_search(self, node: str, round_id: str, height: int | None, copies: int) -> None:
        for _ in range(copies):
            self._put("mining", "search", (node, round_id))

    def enqueue_network(self, function: str, node: str, job_id: str, *args: str) -> bool:
        now = self._world.time
        if self.known.get(job_id, 0.0) > now:
            return False
        self.known[job_id] = now + 60.0
        self._put("network", function, (node, *args))
        return True

    def mining_workers(self) -> int:
        return sum(worker.alive for worker in self._node.workers["mining"])

    def network_workers(self) -> int:
        return sum(worker.alive for worker in self._node.workers["network"])

    def trouble(self) -> QueueTrouble:
        return QueueTrouble(False, 0)

    def report(self) -> QueueReport:
        return QueueReport((), {})

    def flush(self) -> None:
        """Lose everything."""
        self.known.clear()
        for jobs in self.waiting.values():
            jobs.clear()

    def done(self, function: str, args: tuple[str, ...]) -> None:
        """Note the end of a job. All announcements have one job id, which is free again now."""
        if function == RESOLVE and args[1:] == (HEARD,):
            self.known = {job: until for job, until in self.known.items() if "-heard-" not in job}

    def _put(self, queue: str, function: str, args: tuple[str, ...]) -> None:
        world = self._world
        if world.random.random() < world.faults.lost_job:
            world.met("job lost")
            return
        if function == RELAY and world.random.random() < world.faults.lost_relay:
            world.met("relay lost")
            return
        copies = 1
        if world.random.random() < world.faults.double_job:
            world.met("job doubled")
            copies = 2
        for _ in range(copies):
            self.waiting[queue].append((function, args))
        try:
            asking = sum(name in (RESOLVE, ANSWER) for name, _ in self.waiting["network"])
            world.questions.waiting(self._node.name, asking)
        except Violation as violation:
            world.fail(str(violation))
        self._node.take_jobs(queue)
