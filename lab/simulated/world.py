"""A schedule: a whole network in one process, what goes wrong in it, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from redis.exceptions import RedisError

from lab.simulated.checker import Violation
from lab.simulated.clients import Clients
from lab.simulated.liar import Liar
from lab.simulated.liveness import Healing
from lab.simulated.memory import MemoryRedis
from lab.simulated.network import Network
from lab.simulated.node import SimNode, url_of
from lab.simulated.plan import Plan
from lab.simulated.scheduler import Killed, Process
from lab.simulated.strangers import Dripper, Flipper, Impostor
from lab.simulated.surroundings import surroundings
from shared.errors import NodeError

_TICK = 1.0
# Transactions that a node is sent while a reorganisation is interrupted.
_SENT_MEANWHILE = 3


@dataclass(frozen=True)
class Outcome:
    """What came of one schedule."""

    seed: int
    mode: str
    failure: str | None  # one sentence and a place
    digest: str  # SHA-256 of the log
    met: Counter[str]  # faults and events, with how often
    lines: list[str]
    seconds: float  # simulated
    height: int


class World(Network):
    """One schedule."""

    def __init__(self, plan: Plan, *, store: Callable[[], Any] = MemoryRedis, keep_log: bool = False) -> None:
        super().__init__(plan, keep_log=keep_log)
        liars = [url_of(plan.nodes + index) for index in range(plan.liars)]
        flippers = [url_of(20 + index) for index in range(plan.flippers)]
        drippers = [url_of(30 + index) for index in range(plan.drippers)]
        self.dripping = plan.mode == "safety"  # else after the network is healed
        for index in range(plan.nodes):
            peers = [url_of(b if a == index else a) for a, b in plan.links if index in (a, b)]
            known = [url for url in liars if self.random.random() < 0.7]
            self.nodes.append(SimNode(self, index, store(), tuple(peers + known + flippers + drippers)))
        self.liars = {url: Liar(self, url) for url in liars} | {url: Flipper(self, url) for url in flippers}
        drips = {url: Dripper(self, number) for number, url in enumerate(drippers)}
        self.strangers = {**self.liars, **drips}
        self.unrepeatable = drips.keys()
        self.by_url = {node.url: node for node in self.nodes}
        self.users = Process("users")
        self.clients = Clients(self)

    def reorganising(self, node: SimNode) -> None:
        """As `Network.reorganising`. Users send to this node: what they send may come before what returns."""
        for _ in range(_SENT_MEANWHILE):
            act = partial(self.clients.transact, node)
            self.scheduler.spawn("user transact", self.users, partial(self.tolerate, act))

    # --- the schedule ---

    def run(self) -> Outcome:
        """Run the plan to its end, or to the first broken promise."""
        with surroundings(self):
            try:
                self._run()
            except Killed:
                pass
            except Violation as violation:
                self.failure = self.failure or str(violation)
            finally:
                self.scheduler.end()
                for node in self.nodes:
                    node.close()
        self.log(" ".join(node.checker.tip.block.hash for node in self.nodes))
        self.counts["reorganisations"] = sum(node.checker.reorganisations for node in self.nodes)
        for node in self.nodes:
            self.counts.update(f"record: {status}" for status in node.checker.statuses)
        height = max(node.checker.tip.block.index for node in self.nodes)
        return Outcome(
            self.plan.seed, self.plan.mode, self.failure, self.digest, self.counts, self.lines,
            self.scheduler.now, height,
        )  # fmt: skip

    def _run(self) -> None:
        for index, node in enumerate(self.nodes):
            node.begin()
            self.every(_TICK, node.tick, self.random.uniform(0.0, _TICK))
            self.every(3.0, node.repair, 3.0 + index / 10)
        self._user_acts(self.plan.transactions, self.clients.transact)
        self._user_acts(self.plan.requests, self.clients.mine)
        self._user_acts(0.03, self.clients.resolve)
        self._user_acts(0.02, self.clients.cancel)
        for liar in self.liars.values():
            self._user_acts(0.2, liar.announce)
            self._user_acts(0.08, liar.renew)
        if self.plan.impostor:
            self._user_acts(0.1, Impostor(self).burst)
        self.every(1.0, self._disaster, 1.0)
        self.until(self.plan.seconds)
        if self.plan.mode == "liveness":
            Healing(self).run()
        for node in self.nodes:
            self.judge(node, node.checker.check_all)

    def heal(self) -> None:
        """End faults, load and mining."""
        self.faults = self.faults.healed()
        self._sides.clear()
        self.users.alive = False
        self.dripping = True
        for node in self.nodes:
            node.store_down = False
            node.mining = False
            node.repair()
        self.log("healed")

    def _user_acts(self, per_second: float, act: Callable[[], None]) -> None:
        """Call a user's action at random moments until the network is healed."""

        def again() -> None:
            if self.users.alive:
                self.scheduler.spawn(f"user {act.__name__}", self.users, lambda: self.tolerate(act))
                self.scheduler.after(self.random.expovariate(per_second), again)

        self.scheduler.after(self.random.expovariate(per_second), again)

    def tolerate(self, act: Callable[[], None]) -> None:
        """Let a user act. A refusal is an answer; a broken promise ends the run."""
        try:
            act()
        except (NodeError, RedisError):
            pass
        except Violation as violation:
            self.fail(str(violation))

    def _disaster(self) -> None:
        """Faults that hit more than one process; drawn once a second."""
        faults, random = self.faults, self.random
        if random.random() < faults.partition:
            self.met("network fell apart")
            self._sides = {url: random.randrange(2) for url in [*self.by_url, *self.liars]}
            self.scheduler.after(random.uniform(3.0, 20.0), self._sides.clear)
        if random.random() < faults.crash:
            self.met("node crashed")
            random.choice(self.nodes).crash()
        if random.random() < faults.flush:
            self.met("broker flushed")
            random.choice(self.nodes).queue.flush()
        if random.random() < faults.cut_reply:
            self.met("store down")
            node = random.choice(self.nodes)
            node.store_down = True
            self.scheduler.after(random.uniform(1.0, 8.0), lambda: setattr(node, "store_down", False))
