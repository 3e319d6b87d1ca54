"""A whole network in one process: its nodes, what connects them, and what goes wrong."""

from __future__ import annotations

import hashlib
import json
import random
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from flask import Flask
from redis.exceptions import RedisError

from lab.simulated.checker import Tree, Violation
from lab.simulated.clients import Clients
from lab.simulated.liar import Liar
from lab.simulated.memory import MemoryRedis
from lab.simulated.node import SimNode, url_of
from lab.simulated.plan import START, Plan
from lab.simulated.scheduler import Killed, Process, Scheduler
from lab.simulated.strangers import Dripper, Flipper, Impostor, Questions
from lab.simulated.surroundings import surroundings
from services.mempool.judgement import cost
from services.peers.announcer import REMIND_SECONDS
from shared.errors import NodeError
from shared.keys import KeyPair
from shared.ledger import NO_ACCOUNT
from shared.rules import rules_for
from shared.transaction import read_transaction

_TICK = 1.0
# Applications without a node. They take long to build, so all schedules share them.
_apps: list[Flask] = []


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


class World:
    """One schedule."""

    def __init__(self, plan: Plan, *, store: Callable[[], Any] = MemoryRedis, keep_log: bool = False) -> None:
        self.plan = plan
        self.random = random.Random(f"{plan.seed}-{plan.mode}-run")
        self.faults = plan.faults
        self.scheduler = Scheduler(self._crashed)
        self.counts: Counter[str] = Counter()
        self.failure: str | None = None
        self.last_bug = ""
        self.lines: list[str] = []
        self._keep = keep_log
        self._digest = hashlib.sha256()
        self.apps = _apps
        self.tree = Tree(rules_for(plan.spec))
        self.miners = [KeyPair(bytes([7, index]) * 16).address for index in range(plan.nodes)]
        self.honest = frozenset(url_of(index) for index in range(plan.nodes))
        self._sides: dict[str, int] = {}  # URL -> its side of the partition
        liars = [url_of(plan.nodes + index) for index in range(plan.liars)]
        flippers = [url_of(20 + index) for index in range(plan.flippers)]
        drippers = [url_of(30 + index) for index in range(plan.drippers)]
        self.dripping = plan.mode == "safety"  # else after the network is healed
        self.questions = Questions()
        self.nodes: list[SimNode] = []
        for index in range(plan.nodes):
            peers = [url_of(b if a == index else a) for a, b in plan.links if index in (a, b)]
            known = [url for url in liars if self.random.random() < 0.7]
            self.nodes.append(SimNode(self, index, store(), tuple(peers + known + flippers + drippers)))
        self.liars = {url: Liar(self, url) for url in liars} | {url: Flipper(self, url) for url in flippers}
        self.drippers = {url: Dripper(self, number) for number, url in enumerate(drippers)}
        self.by_url = {node.url: node for node in self.nodes}
        self._users = Process("users")
        self._clients = Clients(self)

    # --- for the ports ---

    @property
    def time(self) -> float:
        """Unix seconds on a right clock."""
        return START + self.scheduler.now

    def delay(self) -> float:
        """Seconds until something small happens: a job is taken, a process starts."""
        return self.random.expovariate(10.0)

    def met(self, what: str) -> None:
        self.counts[what] += 1

    def log(self, line: str) -> None:
        """Note an event. The same seed must give the same log."""
        text = f"{self.scheduler.now:.6f} {line}"
        self._digest.update(text.encode())
        if self._keep:
            self.lines.append(text)

    def fail(self, what: str) -> None:
        """End the schedule, as a promise was broken. Does not return inside of tasks."""
        if self.failure is None:
            self.failure = what
            self.log(f"FAILED {what}")
        raise Killed(None)

    def connected(self, a: str, b: str) -> bool:
        return self._sides.get(a, 0) == self._sides.get(b, 0)

    def serve(self, url: str, method: str, path: str, body: bytes | None) -> tuple[int, bytes] | None:
        """Let the node or peer at `url` answer. None: the connection is refused or cut."""
        stranger = self.liars.get(url) or self.drippers.get(url)
        if stranger is not None:
            return stranger.serve(method, path, body)
        node = self.by_url[url]
        answer = node.serve(method, path, body)
        if answer is not None and path.startswith("/transactions/") and 200 <= answer[0] < 300:
            self._acknowledged(node, json.loads(answer[1]))
        return answer

    def _acknowledged(self, node: SimNode, answer: Any) -> None:
        """Note what the node has acknowledged: from now on it must not lose it."""
        results = answer.get("results", [{"status": "accepted", **answer}])
        new = {item["id"] for item in results if item["status"] == "accepted"} - node.checker.acknowledged
        if new:
            self.counts["acknowledged"] += len(new)
            self.log(f"{node.name} acknowledged {sorted(item[:8] for item in new)}")
            node.checker.acknowledged |= new
            self._judge(node, node.checker.check_all)

    def _judge(self, node: SimNode, check: Callable[[], None]) -> None:
        try:
            check()
        except Violation as violation:
            self.fail(f"{node.name}: {violation}")

    def _crashed(self, task: str, error: BaseException) -> None:
        if self.failure is None:
            where = "".join(traceback.format_exception(error))
            self.failure = f"{task}: {type(error).__name__}: {error}\n{where}"

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
            self.plan.seed, self.plan.mode, self.failure, self._digest.hexdigest(), self.counts, self.lines,
            self.scheduler.now, height,
        )  # fmt: skip

    def _run(self) -> None:
        for index, node in enumerate(self.nodes):
            node.begin()
            self._every(_TICK, node.tick, self.random.uniform(0.0, _TICK))
            self._every(3.0, node.repair, 3.0 + index / 10)
        self._user_acts(self.plan.transactions, self._clients.transact)
        self._user_acts(self.plan.requests, self._clients.mine)
        self._user_acts(0.03, self._clients.resolve)
        self._user_acts(0.02, self._clients.cancel)
        for liar in self.liars.values():
            self._user_acts(0.2, liar.announce)
            self._user_acts(0.08, liar.renew)
        if self.plan.impostor:
            self._user_acts(0.1, Impostor(self).burst)
        self._every(1.0, self._disaster, 1.0)
        self._until(self.plan.seconds)
        if self.plan.mode == "liveness":
            self._heal()
            self._converge()
            self._share()
            self._mine_the_rest()
        for node in self.nodes:
            self._judge(node, node.checker.check_all)

    def _until(self, when: float, done: Callable[[], bool] = lambda: False) -> bool:
        """Run until `done()` or until the time `when`; whether it was done."""
        self.scheduler.run(lambda: self.failure is not None or self.scheduler.now >= when or done())
        if self.failure is not None:
            raise Killed(None)
        return done()

    def _every(self, seconds: float, action: Callable[[], None], first: float) -> None:
        def again() -> None:
            action()
            self.scheduler.after(seconds, again)

        self.scheduler.after(first, again)

    def _user_acts(self, per_second: float, act: Callable[[], None]) -> None:
        """Call a user's action at random moments until the network is healed."""

        def again() -> None:
            if self._users.alive:
                self.scheduler.spawn(f"user {act.__name__}", self._users, lambda: self._tolerate(act))
                self.scheduler.after(self.random.expovariate(per_second), again)

        self.scheduler.after(self.random.expovariate(per_second), again)

    def _tolerate(self, act: Callable[[], None]) -> None:
        try:
            act()
        except (NodeError, RedisError):
            pass  # a refusal is an answer
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

    # --- liveness ---

    def _heal(self) -> None:
        """End faults, load and mining."""
        self.faults = self.faults.healed()
        self._sides.clear()
        self._users.alive = False
        self.dripping = True
        for node in self.nodes:
            node.store_down = False
            node.mining = False
            node.repair()
        self.log("healed")

    def _converge(self) -> None:
        """All nodes have the best chain within bounded time, although none mines."""
        # Stalled processes and slow requests end, claims run out; then the resolver's tick must be enough.
        self._until(self.scheduler.now + 35.0)
        pauses = [0.0]
        for node in self.nodes:
            for text in node.raw.hgetall(node.checker.keys.peers).values():
                peer = json.loads(text)
                if peer["url"] in self.honest:
                    pauses.append(peer["next_try"] - node.clock.now())
        bound = max(pauses) + 12.0 * self.plan.nodes
        if not self._until(self.scheduler.now + bound, self._agree):
            tips = [(node.checker.tip.block.index, node.checker.tip.block.hash[:8]) for node in self.nodes]
            raise Violation(f"the nodes have not the same tip {bound:.0f} s after they were healed: {tips}")
        self.met("converged")
        if not self._until(self.scheduler.now + 12.0, self._finished):
            raise Violation("a journal is unfinished two slots of housekeeping after all nodes agree")

    def _agree(self) -> bool:
        return len({node.checker.tip.block.hash for node in self.nodes}) == 1

    def _finished(self) -> bool:
        return all(node.raw.get(node.checker.keys.journal) is None for node in self.nodes)

    def _share(self) -> None:
        """Every node with room knows the transactions that could be mined next, whatever news was lost."""
        bound = 2 * REMIND_SECONDS + 12.0 * self.plan.nodes
        if not self._until(self.scheduler.now + bound, lambda: not any(map(self._missing, self.nodes))):
            missing = {node.name: sorted(self._missing(node)) for node in self.nodes}
            raise Violation(f"what waits is not known to all {bound:.0f} s after they agree: {missing}")
        self.met("shared")

    def _missing(self, node: SimNode) -> set[str]:
        """The next nonces that wait at some node but not at this one. Under one nonce the transactions may differ.

        A user who signs two transactions for one nonce may have another, dearer one waiting here. A transaction that
        the sender could not pay besides what waits here is refused, so it is not missing.
        """
        entries = node.raw.hgetall(node.checker.keys.entries).values()
        if len(entries) >= node.settings.max_mempool:
            return set()
        known = {_waiting(entry) for entry in entries}
        accounts = node.checker.tip.replay.accounts
        missing = set()
        for other in self.nodes:
            for entry in other.raw.hgetall(other.checker.keys.entries).values():
                sender, nonce = _waiting(entry)
                account = accounts.get(sender, NO_ACCOUNT)
                if nonce != account.nonce or (sender, nonce) in known:
                    continue
                here = [each for each in entries if _waiting(each)[0] == sender]
                if sum(map(_cost, [*here, entry])) <= account.balance:
                    missing.add(f"nonce {nonce} of {sender[:8]}")
        return missing

    def _mine_the_rest(self) -> None:
        """With one live worker each, what waits and can be mined is mined, and all requests are answered."""
        for node in self.nodes:
            node.mining = True
            node.tick()
        waiting = sum(
            len(node.raw.hgetall(node.checker.keys.entries)) + len(node.raw.lrange(node.checker.keys.requests, 0, -1))
            for node in self.nodes
        )
        for _ in range(10 + 2 * waiting):  # a block takes at least one, and a peer may win every other block
            # One node at a time: beside others it may lose every race.
            node = next((node for node in self.nodes if self._left(node)), self.nodes[0])
            # A request that waits must be answered without another one.
            if not node.raw.lrange(node.checker.keys.requests, 0, -1):
                mine = partial(self._clients.mine, node)
                self.scheduler.spawn("user mine", Process("user"), partial(self._tolerate, mine))
            height = node.checker.tip.block.index
            self._until(self.scheduler.now + 45.0, partial(self._grown, node, height))
            if self._until(self.scheduler.now + 5.0, self._all_done):
                self.met("all mined")
                return
        raise Violation(f"something waits for ever: {[self._left(node) for node in self.nodes]}")

    def _grown(self, node: SimNode, height: int) -> bool:
        return node.checker.tip.block.index > height

    def _all_done(self) -> bool:
        return not any(self._left(node) for node in self.nodes)

    def _left(self, node: SimNode) -> list[str]:
        """What still waits at a node although it could be mined."""
        raw, names = node.raw, node.checker.keys
        left = ["a mining request"] if raw.lrange(names.requests, 0, -1) else []
        accounts = node.checker.tip.replay.accounts
        for text in raw.hgetall(names.entries).values():
            sender, nonce = _waiting(text)
            account = accounts.get(sender)
            if nonce == (account.nonce if account is not None else 0):
                left.append(f"nonce {nonce} of {sender[:8]}")
        return left


@lru_cache(10_000)
def _cost(entry: bytes) -> int:
    """What an entry of the mempool costs its sender at most, base units."""
    return cost(read_transaction(json.loads(entry.partition(b"\n")[2])))


@lru_cache(10_000)
def _waiting(entry: bytes) -> tuple[str, int]:
    """Sender and nonce of an entry of the mempool. Entries are looked at after every event."""
    sender, nonce, _ = entry.decode().split(" ", 2)
    return sender, int(nonce)
