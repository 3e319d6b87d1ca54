"""A peer that claims a long branch for which it did no work."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

from lab.interface import LabBlock
from lab.simulated import chain_door
from lab.simulated.sealing import hash_of, root_of, seal_of
from lab.simulated.surroundings import easy_hashes
from shared import proof
from shared.reward import make_reward

if TYPE_CHECKING:
    from lab.simulated.checker import State
    from lab.simulated.lab_network import LabNetwork

Json = dict[str, Any]
_NOBODY = "0x000000000000000000000000000000000000dEaD"
_MOST = 500  # headers or blocks of one answer


class Claimant:
    """Claims `blocks` more than the best chain had when it came. Its blocks are right, but for their proofs."""

    def __init__(self, network: LabNetwork, url: str, blocks: int, number: int) -> None:
        """`number` tells it from other such peers: no two show the same block."""
        self.url = url
        self._network = network
        self._fork: State = max((node.checker.tip for node in network.nodes), key=lambda state: state.claim.chainwork)
        self._count = blocks
        self._number = number
        with easy_hashes(network.ease):  # as its readers compute them
            self._branch = self._make(min(blocks, 2 * _MOST))  # no node reads more than it needs to see the lie
            self.tip, self._first = hash_of(self._branch[-1]), hash_of(self._branch[0])

    def _make(self, count: int) -> list[Json]:
        spec = self._network.tree.rules.spec
        header = self._fork.block.header
        found: list[Json] = []
        previous, height, timestamp = header.hash, header.index, int(header.timestamp)
        for _ in range(count):
            height, timestamp = height + 1, timestamp + 1
            body = [make_reward(spec.chain_id, height, _NOBODY, spec.reward).fields]
            block = {
                "index": height,
                "timestamp": timestamp,
                "previous_hash": previous,
                "difficulty": spec.difficulty,
                "transactions_root": root_of(body),
                "transactions": body,
            }
            seal, tries = seal_of(block), itertools.count(1000 * self._number)
            block["proof"] = next(item for item in tries if not proof.accepts(seal, spec.difficulty, item))
            found.append(block)
            previous = hash_of(block)
        return found

    @property
    def first(self) -> LabBlock:
        """The first block of its branch: the one that a node refuses."""
        block = self._branch[0]
        return LabBlock(
            hash=self._first,
            parent=str(block["previous_hash"]),
            height=int(block["index"]),
            chainwork=self._fork.claim.chainwork + int(block["difficulty"]),
            finder=None,
            found_at=0.0,
            timestamp=float(block["timestamp"]),
        )

    def _claim(self) -> Json:
        spec = self._network.tree.rules.spec
        return {
            "hash": self.tip,
            "height": self._fork.block.index + self._count,
            "chainwork": self._fork.claim.chainwork + self._count * spec.difficulty,
        }

    def serve(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        """Answer as a node does that has such a branch."""
        name, _, query = path.partition("?")
        arguments = dict(pair.partition("=")[::2] for pair in query.split("&") if pair)
        if method == "POST":
            return 202, b'{"heeded": true}'
        if name == "/status":
            claim = self._claim()
            genesis = self._network.tree.genesis.block.hash
            return 200, json.dumps({"genesis": genesis, "tip": claim.pop("hash"), **claim}).encode()
        if name == "/headers":
            return 200, json.dumps(self._headers(arguments)).encode()
        return 404, b"{}"

    def _headers(self, arguments: dict[str, str]) -> Json:
        _, honest = chain_door.answer(self._network.tree, self._fork, f"/headers?{_query(arguments)}")
        found: Json = json.loads(honest)
        own = [{name: value for name, value in block.items() if name != "transactions"} for block in self._branch]
        limit = min(int(arguments.get("limit", _MOST)), _MOST)
        headers = (found["headers"] + own)[:limit]
        return {"headers": headers, "from": found["from"], "length": self._claim()["height"]}

    def news(self) -> bytes:
        """Its announcement."""
        return json.dumps({"url": self.url, **self._claim()}).encode()


def _query(arguments: dict[str, str]) -> str:
    return "&".join(f"{name}={value}" for name, value in arguments.items())
