"""Peers that use up a node's time, and strangers that announce in the name of peers."""

from __future__ import annotations

import json
import random
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from lab.simulated.checker import Violation
from lab.simulated.liar import Liar, _header

if TYPE_CHECKING:
    from lab.simulated.world import World

# How often a node may ask a peer for its tip in so many seconds: five times of its own accord, and again when a chain
# changes while it is read.
WINDOW, MOST = 5.0, 9
# How many jobs of one node may wait to ask its peers, whatever strangers do and however many workers are dead.
MOST_WAITING = 12
_PLACES = ("/status", "/headers", "/chain")


class Dripping(Exception):
    """The answer comes byte by byte: the node that asked waits as long as it is willing to."""


class Dripper:
    """Claims more work than any node has, and drips. In a liveness schedule it begins only after the network is healed:
    until then it answers as a node that has only the genesis block.
    """

    def __init__(self, world: World, number: int) -> None:
        self._world = world
        self._number = number
        self.place = _PLACES[number % len(_PLACES)]

    def serve(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        """Answer as a node does, up to the point where it drips."""
        name = path.partition("?")[0]
        if method == "POST" or name not in _PLACES:
            return 404, b"{}"
        if not self._world.dripping:
            return 200, json.dumps(self._status(False)).encode()
        if name == self.place:
            self._world.met(f"drips at {name}")
            raise Dripping
        if name == "/status":
            return 200, json.dumps(self._status(True)).encode()
        return 200, json.dumps({"headers": self._headers(path)}).encode()

    def _status(self, more: bool) -> dict[str, Any]:
        tree = self._world.tree
        best = max((node.checker.tip for node in self._world.nodes), key=lambda item: item.claim.chainwork)
        if not more:
            best = tree.genesis
        work = best.claim.chainwork + (10**6 + self._number if more else 0)
        height = best.block.index
        return {"genesis": tree.genesis.block.hash, "tip": best.block.hash, "height": height, "chainwork": work}

    def _headers(self, path: str) -> list[Any]:
        query = dict(pair.partition("=")[::2] for pair in path.partition("?")[2].split("&"))
        best = max((node.checker.tip for node in self._world.nodes), key=lambda item: item.claim.chainwork)
        names = list(best.hashes())
        known = [names.index(name) + 1 for name in query["locator"].split(",") if name in names]
        first = max(known, default=0)
        states = self._world.tree.states
        found = names[first : first + int(query["limit"])]
        return [_header(json.loads(states[name].block.canonical)) for name in found]


class Flipper(Liar):
    """Claims one chain and serves another: its answers change between two requests."""

    def serve(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        self._world.met("peer flips")
        if self._random.random() < 0.4:
            self.renew()
        if path.startswith("/status") and self._random.random() < 0.4:
            genesis = self._world.tree.genesis.block.hash
            return 200, json.dumps({"genesis": genesis, "tip": genesis, "height": 1, "chainwork": 0}).encode()
        return super().serve(method, path, body)


class Impostor:
    """Announces blocks that no node has, in the name of honest peers, 31 a second for two seconds."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._random = random.Random(world.random.getrandbits(64))

    def burst(self) -> None:
        """One flood of one node, in the names of some of its peers."""
        world = self._world
        node = self._random.choice(world.nodes)
        names = [url for url in node.settings.peers if url in world.honest]
        for _ in range(62):
            news = {
                "url": self._random.choice(names),
                "hash": f"{self._random.getrandbits(256):064x}",
                "height": 2**53,
                "chainwork": 2**255,
            }
            world.met("announced for another")
            world.serve(node.url, "POST", "/nodes/announce", json.dumps(news).encode())
            world.scheduler.sleep(1 / 31)


class Questions:
    """What nodes ask of honest peers, and what waits at them. Both are bounded, whatever strangers do."""

    def __init__(self) -> None:
        self._asked: dict[tuple[str, str], deque[float]] = {}
        self.most: Counter[str] = Counter()

    def asked(self, node: str, url: str, now: float) -> None:
        """Note that a node asks a peer for its status.

        Raises:
            Violation: too often.
        """
        times = self._asked.setdefault((node, url), deque())
        times.append(now)
        while times[0] < now - WINDOW:
            times.popleft()
        self.most["asked"] = max(self.most["asked"], len(times))
        if len(times) > MOST:
            raise Violation(f"{node} asked {url} for its tip {len(times)} times in {WINDOW:g} s")

    def waiting(self, node: str, jobs: int) -> None:
        """Note how many jobs wait at a node that will ask its peers.

        Raises:
            Violation: too many.
        """
        self.most["waiting"] = max(self.most["waiting"], jobs)
        if jobs > MOST_WAITING:
            raise Violation(f"{jobs} jobs that ask peers wait at {node}")
