"""What a network must reach in bounded time after it is healed."""

from __future__ import annotations

import json
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from lab.simulated.checker import Violation
from lab.simulated.node import SimNode
from lab.simulated.scheduler import Process
from services.mempool.judgement import cost
from services.peers.announcer import REMIND_SECONDS
from shared.ledger import NO_ACCOUNT
from shared.transaction import read_transaction

if TYPE_CHECKING:
    from lab.simulated.world import World


class Healing:
    """The end of a liveness schedule."""

    def __init__(self, world: World) -> None:
        self._world = world

    def run(self) -> None:
        """Heal the network, and see that it agrees, shares what waits, and mines it.

        Raises:
            Violation: it does not, in its time.
        """
        self._world.heal()
        self._converge()
        self._share()
        self._mine_the_rest()

    def _converge(self) -> None:
        """All nodes have the best chain within bounded time, although none mines."""
        # Stalled processes and slow requests end, claims run out; then the resolver's tick must be enough.
        self._world.until(self._world.scheduler.now + 35.0)
        pauses = [0.0]
        for node in self._world.nodes:
            for text in node.raw.hgetall(node.checker.keys.peers).values():
                peer = json.loads(text)
                if peer["url"] in self._world.honest:
                    pauses.append(peer["next_try"] - node.clock.now())
        bound = max(pauses) + 12.0 * self._world.plan.nodes
        if not self._world.until(self._world.scheduler.now + bound, self._agree):
            tips = [(node.checker.tip.block.index, node.checker.tip.block.hash[:8]) for node in self._world.nodes]
            raise Violation(f"the nodes have not the same tip {bound:.0f} s after they were healed: {tips}")
        self._world.met("converged")
        if not self._world.until(self._world.scheduler.now + 12.0, self._finished):
            raise Violation("a journal is unfinished two slots of housekeeping after all nodes agree")

    def _agree(self) -> bool:
        return len({node.checker.tip.block.hash for node in self._world.nodes}) == 1

    def _finished(self) -> bool:
        return all(node.raw.get(node.checker.keys.journal) is None for node in self._world.nodes)

    def _share(self) -> None:
        """Every node with room knows the transactions that could be mined next and that can reach it, whatever news was
        lost.
        """
        bound = 2 * REMIND_SECONDS + 12.0 * self._world.plan.nodes
        nodes = self._world.nodes
        if not self._world.until(self._world.scheduler.now + bound, lambda: not any(map(self._missing, nodes))):
            missing = {node.name: sorted(self._missing(node)) for node in nodes}
            raise Violation(f"what waits is not known to all {bound:.0f} s after they agree: {missing}")
        self._world.met("shared")

    def _missing(self, node: SimNode) -> set[str]:
        """The next nonces that wait at a node but not at this one. Under one nonce the transactions may differ.

        A user who signs two transactions for one nonce may have another, dearer one waiting here. A transaction that
        the sender could not pay besides what waits here is refused, so it is not missing.
        """
        if _is_full(node):
            return set()
        entries = node.raw.hgetall(node.checker.keys.entries).values()
        known = {_waiting(entry) for entry in entries}
        accounts = node.checker.tip.replay.accounts
        missing = set()
        for other in self._heard_by(node):
            for entry in other.raw.hgetall(other.checker.keys.entries).values():
                sender, nonce = _waiting(entry)
                account = accounts.get(sender, NO_ACCOUNT)
                if nonce != account.nonce or (sender, nonce) in known:
                    continue
                here = [each for each in entries if _waiting(each)[0] == sender]
                if sum(map(_cost, [*here, entry])) <= account.balance:
                    missing.add(f"nonce {nonce} of {sender[:8]}")
        return missing

    def _heard_by(self, node: SimNode) -> list[SimNode]:
        """The nodes whose transactions can reach this one: no node between them is full, since it would refuse them."""
        nodes, links = self._world.nodes, self._world.plan.links
        found, waiting = [node], [node]
        while waiting:
            at = nodes.index(waiting.pop())
            for a, b in links:
                other = nodes[b if a == at else a]
                if at in (a, b) and other not in found:
                    found.append(other)
                    if not _is_full(other):
                        waiting.append(other)
        return found[1:]

    def _mine_the_rest(self) -> None:
        """With one live worker each, what waits and can be mined is mined, and all requests are answered."""
        for node in self._world.nodes:
            node.mining = True
            node.tick()
        waiting = sum(
            len(node.raw.hgetall(node.checker.keys.entries)) + len(node.raw.lrange(node.checker.keys.requests, 0, -1))
            for node in self._world.nodes
        )
        for _ in range(10 + 2 * waiting):  # a block takes at least one, and a peer may win every other block
            # One node at a time: beside others it may lose every race.
            node = next((node for node in self._world.nodes if self._left(node)), self._world.nodes[0])
            # A request that waits must be answered without another one.
            if not node.raw.lrange(node.checker.keys.requests, 0, -1):
                mine = partial(self._world.clients.mine, node)
                self._world.scheduler.spawn("user mine", Process("user"), partial(self._world.tolerate, mine))
            height = node.checker.tip.block.index
            self._world.until(self._world.scheduler.now + 45.0, partial(self._grown, node, height))
            if self._world.until(self._world.scheduler.now + 5.0, self._all_done):
                self._world.met("all mined")
                return
        raise Violation(f"something waits for ever: {[self._left(node) for node in self._world.nodes]}")

    def _grown(self, node: SimNode, height: int) -> bool:
        return node.checker.tip.block.index > height

    def _all_done(self) -> bool:
        return not any(self._left(node) for node in self._world.nodes)

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


def _is_full(node: SimNode) -> bool:
    return len(node.raw.hgetall(node.checker.keys.entries)) >= node.settings.max_mempool


@lru_cache(10_000)
def _waiting(entry: bytes) -> tuple[str, int]:
    """Sender and nonce of an entry of the mempool. Entries are looked at after every event."""
    sender, nonce, _ = entry.decode().split(" ", 2)
    return sender, int(nonce)
