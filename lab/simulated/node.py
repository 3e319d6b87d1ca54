"""One simulated node: its store, and the processes that serve it and die."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from flask import Flask
from redis.exceptions import RedisError

from api.access import Doorkeeper, attach, served
from api.app import create_app
from lab.simulated.checker import Checker, Violation
from lab.simulated.ports import SeededRandomness, SimClock, SimHttp, SimQueue, SimStore
from lab.simulated.scheduler import Killed, Process
from lab.simulated.wsgi import call
from services import housekeeping
from services.jobs.queues import ALLOWED
from services.mining.sealer import Sealer
from services.node import Node, build_node
from services.ports import Store
from services.settings.table import Settings, load
from services.store.searches import Claim, Searched
from shared.errors import NodeError
from shared.proof import accepts
from shared.rules import Rules
from worker import context
from worker.jobs import network
from worker.ticker import Ticker

if TYPE_CHECKING:
    from lab.simulated.network import Network

Answer = TypeVar("Answer")

_JOBS: dict[str, Callable[..., Any]] = {
    name: getattr(network, name.rpartition(".")[2]) for name in ALLOWED if name.rpartition(".")[0] == network.__name__
}

# Virtual seconds for which a worker waits, at most, for the desk: for a new template, or for its block.
_NODE_SECONDS = 0.2


class SimProcess(Process):
    """A process of a node, with its own idea of what was read last."""

    def __init__(self, name: str, node: Node) -> None:
        super().__init__(name)
        self.node = node
        self.busy = False
        self.app: Flask | None = None


class SimNode:
    """A node with what keeps it going: its ticker, its supervisor and its workers."""

    rules: Rules | None = None  # of its own; None: those of the chain spec

    def __init__(self, world: Network, index: int, raw: Any, peers: tuple[str, ...]) -> None:
        plan = world.plan
        self.world = world
        self.name, self.index = f"node{index}", index
        self.url = url_of(index)
        self.skew = plan.skew[index]
        self.speed, self.raw = plan.hashes_per_second[index], raw
        self.store_down = False
        self.settings = replace(
            _defaults(),
            node=self.name,
            spec=world.spec_of(index),
            reward_address=world.miners[index],
            automine=plan.automine[index],
            peers=peers,
            public_url=self.url,
            **{"min_fee": 0, **plan.settings},
        )
        self.clock = SimClock(world, self)
        self.queue = SimQueue(world, self)
        self.checker = self._checker()
        self.workers: dict[str, list[SimProcess]] = {
            "mining": [self._process(f"miner{i}") for i in range(plan.mining_workers)],
            "network": [self._process(f"network{i}") for i in range(plan.network_workers)],
            "keeper": [self._process("keeper")],
            "desk": [self._process("desk")],
        }
        self.api = [self._process(f"api{i}") for i in range(plan.api_processes)]
        self.mining, self.begun = True, False
        self.ticker = Ticker(self.settings, self.queue, self.clock)

    # --- processes ---

    def _build(self, *, job: bool) -> Node:
        store = SimStore(self.world, self, self.raw, repeats=job)
        return build_node(
            self.settings,
            store=cast(Store, store),
            queue=self.queue,
            clock=self.clock,
            randomness=SeededRandomness(self.world),
            http=self._http(),
            rules=self.rules,
            sealer=Sealer(self.settings.spec, self.world.sealer_of(self.index)),
        )

    def _http(self) -> SimHttp:
        return SimHttp(self.world, self)

    def _checker(self) -> Checker:
        return self.world.checker_of(self.index, self.name, self.raw)

    def _process(self, kind: str) -> SimProcess:
        return SimProcess(f"{self.name}.{kind}", self._build(job=not kind.startswith("api")))

    def begin(self) -> None:
        """Do what an API process does before it serves."""
        process = self.world.random.choice(self.api)
        self.begun = False

        def begin() -> None:
            process.node.begin()
            self.begun = True

        self.world.scheduler.spawn(f"{process.name} begin", process, lambda: self._guarded(begin))

    def crash(self) -> None:
        """All processes die at once."""
        for process in [*self.api, *(worker for workers in self.workers.values() for worker in workers)]:
            process.alive = False

    def repair(self) -> None:
        """Start again what has died, as the supervisor does."""
        started = False
        for processes in (self.api, *self.workers.values()):
            for index, process in enumerate(processes):
                if not process.alive:
                    if process.app is not None:
                        self.world.apps.append(process.app)
                    processes[index] = self._process(process.name.partition(".")[2])
                    started = started or processes is self.api
        if started or not self.begun:
            self.begin()

    def close(self) -> None:
        self.world.apps.extend(process.app for process in self.api if process.app is not None)

    def written(self) -> None:
        """Check the store after a command."""
        database = self.raw.database
        if database.changed:
            changed, database.changed = database.changed, set()
            try:
                before = self.checker.tip
                self.checker.check(changed)
                if self.checker.tip is not before:
                    tip = self.checker.tip.block
                    self.world.log(f"{self.name} tip {tip.index} {tip.hash[:12]}")
            except Violation as violation:
                self.world.fail(f"{self.name}: {violation}")

    # --- jobs ---

    def tick(self) -> None:
        self.ticker.tick()
        for queue in self.queue.waiting:
            self.take_jobs(queue)
        [keeper] = self.workers["keeper"]
        if keeper.alive and not keeper.busy:
            keeper.busy = True
            self.world.scheduler.spawn(keeper.name, keeper, partial(self._keep_house, keeper))
        self.wake_desk(looks_back=True)

    def _keep_house(self, keeper: SimProcess) -> None:
        """Housekeeping, as in worker/housekeeper.py."""

        def keep() -> None:
            if housekeeping.take_slot(keeper.node):
                self.world.log(f"{keeper.name} keeps house")
                housekeeping.keep_house(keeper.node)
            else:
                keeper.node.announcer.news_waiting()

        try:
            self._guarded(keep)
        finally:
            keeper.busy = False

    def wake_desk(self, *, looks_back: bool = False) -> None:
        """Have the desk deal with the inbox, as services/attending.py does.

        Args:
            looks_back: a second has passed: it also looks for what a process has left behind.
        """
        [desk] = self.workers["desk"]
        if desk.alive and not desk.busy:
            desk.busy = True
            self.world.scheduler.spawn(desk.name, desk, partial(self._sit_at_desk, desk, looks_back))

    def _sit_at_desk(self, process: SimProcess, looks_back: bool) -> None:
        desk = process.node.desk

        def sit() -> None:
            if looks_back and desk.recover():
                self.world.met("taken over from a dead desk")
            desk.work_off()

        try:
            self._guarded(sit)
        finally:
            process.busy = False

    def seals(self, process: Process) -> bool:
        """Whether a process seals what workers find."""
        return process in self.workers["desk"]

    def take_jobs(self, queue: str) -> None:
        """Give waiting jobs to workers that have none."""
        waiting, world = self.queue.waiting[queue], self.world
        if queue == "mining" and not self.mining:
            waiting.clear()
        for worker in self.workers[queue]:
            if waiting and worker.alive and not worker.busy:
                function, args = waiting.pop(0)
                worker.busy = True
                name = f"{worker.name} {function.rpartition('.')[2]}"
                world.scheduler.spawn(name, worker, partial(self._work, worker, function, args), world.delay())

    def _work(self, worker: SimProcess, function: str, args: tuple[str, ...]) -> None:
        self.world.log(f"{worker.name} {function.rpartition('.')[2]} {args[1:]}")
        try:
            if function == "search":
                self._guarded(lambda: self._search(worker, args[1]))
            else:
                with_context(worker)
                self._guarded(lambda: _JOBS[function](*args))
        finally:
            worker.busy = False
            self.queue.done(function, args)
        self.take_jobs("network")
        self.take_jobs("mining")

    def _guarded(self, work: Callable[[], Answer]) -> Answer | None:
        """Run a job, or a part of one. A failure is noted, and the answer is None; a bug ends the schedule."""
        try:
            return work()
        except (NodeError, RedisError) as error:
            self.world.met("job failed")
            self.world.log(f"{self.name} job failed: {type(error).__name__} {error}")
            return None

    def _search(self, worker: SimProcess, first: str) -> None:
        """The search job, as in worker/jobs/search.py, at a simulated speed."""
        rounds = worker.node.searches
        current: str | None = first
        try:
            while current is not None and self.mining:
                searched = Searched()
                while self.mining:
                    size = max(1, self.world.plan.spec.difficulty // 4)
                    claim = rounds.claim(current, worker.name, size, searched)
                    if claim is None:
                        break
                    searched = self._scan(worker, claim)
                current = rounds.open_round() or None if self.mining else None
        finally:
            unserved = rounds.leave(worker.name)
        if self.mining and unserved:
            rounds.hand_over(unserved)

    def _scan(self, worker: SimProcess, claim: Claim) -> Searched:
        world, rounds = self.world, worker.node.searches
        if claim.is_old:
            self.wake_desk()
            world.scheduler.sleep(_NODE_SECONDS * world.random.random())
            return Searched()
        proof = next((number for number in claim.proofs if accepts(claim.prefix, claim.difficulty, number)), None)
        done = len(claim.proofs) if proof is None else proof - claim.proofs.start + 1
        world.scheduler.sleep(done / self.speed * world.random.uniform(0.5, 1.5))
        if proof is None:
            return Searched(claim.version, done)
        if world.random.random() < world.faults.proof_death:
            world.met("death before a proof is handed in")
            worker.alive = False
            world.scheduler.checkpoint()
        if rounds.hand_in(claim, proof, worker.name, Searched(claim.version, done)):
            world.met("handed in")
            self.wake_desk()
            world.scheduler.sleep(_NODE_SECONDS * world.random.random())
        return Searched()

    # --- requests ---

    def serve(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes] | None:
        """Answer a request on the current task's thread. None: no process listens, or the one that did has died."""
        alive = [process for process in self.api if process.alive]
        if not alive:
            return None
        process = self.world.random.choice(alive)
        if process.app is None:
            process.app = self.world.apps.pop() if self.world.apps else _new_app(process.node)
            attach(process.app, replace(served(process.app), node=process.node))
        try:
            with self.world.scheduler.acting_for(process):
                status, answer = call(process.app, method, path, body)
        except Killed as killed:
            if killed.process is process:
                return None
            raise
        except (NodeError, RedisError):  # in the middle of a streamed answer: the connection is cut
            self.world.met("stream cut")
            return None
        if status == 500:
            self.world.fail(f"{self.name} answered {path[:40]} with 500: {self.world.last_bug}")
        return status, answer


def _new_app(node: Node) -> Flask:
    app = create_app(node)
    attach(app, replace(served(app), doorkeeper=Doorkeeper(None, True, frozenset())))
    return app


def with_context(worker: SimProcess) -> None:
    """Let job functions find the node of the worker that runs them.

    They look it up as their first step, before any other task can run.
    """

    class Here:
        def node(self, name: str) -> Node:
            return worker.node

    context.install(cast(context.Context, Here()))


def url_of(index: int) -> str:
    return f"http://127.0.0.1:{5001 + index}"


_settings: list[Settings] = []


def _defaults() -> Settings:
    if not _settings:
        _settings.append(replace(load({}), data_dir=Path("/nonexistent")))
    return _settings[0]
