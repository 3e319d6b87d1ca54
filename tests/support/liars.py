"""Scripted peers: chains with one thing wrong, and answers that no node gives."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from services.peers.http import PeerRequest
from shared.canonical import canonical
from shared.chain_spec import ChainSpec
from shared.hashing import sha256
from shared.keys import KeyPair
from shared.reward import make_reward
from shared.rules import Rules, rules_for
from tests.support.chains import root_of, seal_of, sealed

Json = dict[str, Any]

MINER, OTHER_MINER = (KeyPair(bytes([i]) * 32).address for i in (177, 178))


def hash_of(block: Json) -> str:
    """A block's hash, whatever is wrong with the block."""
    return sha256(seal_of(block) + str(block["proof"]).encode()).hex()


def header_of(block: Json) -> Json:
    return {name: value for name, value in block.items() if name != "transactions"}


class ForgedChain:
    """Blocks with right links and proofs and any content, on a spec of constant difficulty."""

    def __init__(self, spec: ChainSpec, blocks: list[Json] | None = None) -> None:
        self.spec = spec
        self.rules: Rules = rules_for(spec)
        genesis = self.rules.genesis()
        self.blocks = list(blocks or [{**genesis.header.to_object(), "transactions": []}])
        self.miner = MINER
        self.hashes = [genesis.hash, *(hash_of(block) for block in self.blocks[1:])]

    def reward(self, **changes: Any) -> Json:
        fields = make_reward(self.spec.chain_id, len(self.blocks) + 1, self.miner, self.spec.reward).fields
        return {**fields, **changes}

    def forge(self, *transactions: Json, body: list[Json] | None = None, valid: bool = True, **fields: Any) -> Json:
        """Append a block: reward and `transactions`, or `body`; `fields` are set before it is sealed."""
        body = [self.reward(), *transactions] if body is None else body
        block = {
            "index": len(self.blocks) + 1,
            "timestamp": self.blocks[-1]["timestamp"] + 1,
            "previous_hash": self.hashes[-1],
            "difficulty": self.spec.difficulty,
            "transactions_root": root_of(body),
            "transactions": body,
        }
        self.blocks.append(sealed({**block, **fields}, self.spec.difficulty, valid=valid))
        self.hashes.append(hash_of(self.blocks[-1]))
        return self.blocks[-1]

    def grow(self, blocks: int) -> None:
        for _ in range(blocks):
            self.forge()

    @property
    def chainwork(self) -> int:
        return self.spec.difficulty * (len(self.blocks) - 1)


Answers = Callable[["ScriptedPeer", Json], Any]


class ScriptedPeer:
    """A handler that serves a forged chain; methods may be replaced, to lie."""

    def __init__(self, chain: ForgedChain) -> None:
        self.chain = chain
        self.asked: list[str] = []
        self.sent = 0  # bytes
        self.page = 500  # headers sent at once
        self.status: Callable[[], Any] = self._status
        self.headers: Callable[[list[str], int], Any] = self._headers
        self.blocks: Callable[[int, int], Any] = self._blocks

    def __call__(self, request: PeerRequest) -> tuple[int, bytes]:
        parts = urlsplit(request.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.asked.append(parts.path)
        if parts.path == "/status":
            value = self.status()
        elif parts.path == "/headers":
            value = self.headers(query["locator"].split(","), int(query["limit"]))
        elif parts.path == "/chain":
            value = self.blocks(int(query["from"]), int(query["limit"]))
        else:
            return 404, b"{}"
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.sent += len(body)
        return 200, body

    def _status(self) -> Json:
        chain = self.chain
        return {
            "genesis": chain.hashes[0], "tip": chain.hashes[-1], "height": len(chain.blocks),
            "chainwork": chain.chainwork,
        }  # fmt: skip

    def _headers(self, locator: list[str], limit: int) -> Json:
        first = next((self.chain.hashes.index(name) + 1 for name in locator if name in self.chain.hashes), 0)
        return {"headers": [header_of(block) for block in self.chain.blocks[first : first + min(limit, self.page)]]}

    def _blocks(self, first: int, limit: int) -> Json:
        return {"chain": self.chain.blocks[first - 1 : first - 1 + limit]}


def size_of(chain: ForgedChain) -> int:
    """Canonical bytes of all blocks."""
    return sum(len(canonical(block)) for block in chain.blocks)
