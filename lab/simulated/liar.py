"""A peer that lies: it serves a longer chain with one wrong field, or claims work that it cannot show."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

from lab.simulated.checker import State
from lab.simulated.plan import KEYS
from lab.simulated.sealing import hash_of, root_of, sealed
from shared.amounts import format_amount
from shared.canonical import canonical
from shared.difficulty import next_difficulty
from shared.keys import KeyPair
from shared.reward import make_reward
from shared.sealing import sign as sign_header
from shared.timestamps import median_time
from shared.transaction import sign

if TYPE_CHECKING:
    from lab.simulated.world import World

Json = dict[str, Any]

THIEF = KeyPair(b"\x66" * 32)
# What is wrong with the chain that the liar serves.
LIES = (
    "proof", "difficulty", "timestamp", "index", "root", "reward", "reward missing", "signature", "nonce",
    "overspending", "allowance", "chain id", "replayed", "claim", "body", "disconnected", "garbage",
)  # fmt: skip


class Liar:
    """Serves a branch of an honest node's chain. Its work is real, except for the lie."""

    def __init__(self, world: World, url: str) -> None:
        self._world = world
        self.url = url
        self._random = random.Random(world.random.getrandbits(64))
        self.lie = self._random.choice(LIES)
        self._chain: list[Json] = []
        self._chainwork = 0
        self.renew()

    def renew(self) -> None:
        """Prepare another lie, on the best chain that any node has now, or on a block below its tip."""
        tips = (node.checker.tip for node in self._world.nodes if node.checker.tree is self._world.tree)
        state = max(tips, key=lambda item: item.claim.chainwork)
        for _ in range(self._random.choice((0, 0, 1, 2))):
            state = state.parent or state
        self.lie = self._random.choice(LIES)
        honest = [json.loads(self._world.tree.states[name].block.canonical) for name in state.hashes()]
        self._chainwork = state.claim.chainwork
        self._chain = honest
        window = list(state.replay.window)
        length = self._random.randint(3, 5)
        wrong = self._random.randrange(length - 1)
        rules = self._world.tree.rules
        for number in range(length):
            parent = window[-1]
            difficulty = next_difficulty(window, rules.spec)
            body = [make_reward(rules.spec.chain_id, parent.index + 1, THIEF.address, rules.spec.reward).fields]
            block = {
                "index": parent.index + 1,
                "timestamp": max(int(self._world.time), median_time(window)),
                "previous_hash": parent.hash,
                "difficulty": difficulty,
                "transactions_root": root_of(body),
                "transactions": body,
            }
            if rules.spec.at(parent.index + 1).sealers:  # the liar has the hash rate, but no sealer's key
                header = {name: value for name, value in block.items() if name != "transactions"}
                block |= sign_header(header, THIEF)
            whole = sealed(self._broken(block, state) if number == wrong else block, difficulty, valid=True)
            if number == wrong and self.lie == "proof" and difficulty > 1:
                whole = sealed(block, difficulty, valid=False)
            self._chain.append(whole)
            self._chainwork += difficulty
            window.append(rules.read_header(_header(whole)))

    def _broken(self, block: Json, state: State) -> Json:
        """The block with the lie. Its root fits unless the root is the lie."""
        spec = self._world.tree.rules.spec
        reward = block["transactions"][0]
        match self.lie:
            case "difficulty":
                return {**block, "difficulty": block["difficulty"] + 1}
            case "timestamp":
                return {**block, "timestamp": int(state.replay.window[0].timestamp) - 1}
            case "index":
                return {**block, "index": block["index"] + 1}
            case "root":
                return {**block, "transactions_root": "00" * 32}
            case "reward":
                body = [{**reward, "amount": format_amount(spec.reward + 1)}]
            case "reward missing":
                body = []
            case "signature":
                forged = self._signed(KEYS[0], state)
                body = [reward, {**forged, "signature": "00" * 64}]
            case "nonce":
                body = [reward, self._signed(KEYS[0], state, ahead=1)]
            case "overspending":
                body = [reward, self._signed(THIEF, state, amount="5000")]
            case "allowance":
                theft: dict[str, Any] = {"type": "transfer_from", "owner": KEYS[1].address, "amount": "3"}
                body = [reward, self._signed(THIEF, state, **theft)]
            case "chain id":
                body = [reward, self._signed(KEYS[0], state, chain_id=spec.chain_id + 1)]
            case "replayed":
                old = next((item for item in self._mined()), None)
                body = [reward, old] if old else [reward, reward]
            case _:
                return block
        return {**block, "transactions": body, "transactions_root": root_of(body)}

    def _mined(self) -> list[Json]:
        return [item for block in self._chain for item in block["transactions"] if item["type"] != "reward"]

    def _signed(self, key: KeyPair, state: State, ahead: int = 0, **changes: Any) -> Json:
        account = state.replay.accounts.get(key.address)
        unsigned = {
            "type": "transfer",
            "chain_id": self._world.tree.rules.spec.chain_id,
            "nonce": (account.nonce if account else 0) + ahead,
            "sender": key.address,
            "recipient": THIEF.address,
            "amount": "1",
            "fee": "0",
        }
        return sign({**unsigned, **changes}, key)

    # --- what it answers ---

    def serve(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        """Answer as a node does, except for the lie."""
        self._world.met(f"lie: {self.lie}")
        name, _, query = path.partition("?")
        arguments = dict(pair.partition("=")[::2] for pair in query.split("&") if pair)
        if name != "/status" and self.lie == "garbage":
            return 200, self._random.choice((b"", b"{", b"[]", b'{"headers": 1e5}', b'{"chain": [null]}', b"\xff" * 99))
        if name == "/status":
            return 200, json.dumps(self._status()).encode()
        if name == "/headers":
            return 200, json.dumps({"headers": self._headers(arguments), "from": 0, "length": 0}).encode()
        if name == "/chain":
            first = int(arguments["from"]) - 1
            blocks = [dict(block) for block in self._chain[first : first + int(arguments["limit"])]]
            if self.lie == "body" and blocks:
                blocks[-1]["transactions"] = []
            return 200, b'{"chain": [' + b", ".join(map(canonical, blocks)) + b'], "length": 1}'
        return (202, b'{"heeded": true}') if method == "POST" else (404, b"{}")

    def _status(self) -> Json:
        tip = self._chain[-1]
        more = 10**9 if self.lie == "claim" else 0
        return {
            "genesis": self._world.tree.genesis.block.hash,
            "tip": hash_of(tip),
            "height": len(self._chain),
            "chainwork": self._chainwork + more,
        }

    def _headers(self, arguments: dict[str, str]) -> list[Json]:
        known = {self._world.tree.rules.read_header(_header(block)).hash: block["index"] for block in self._chain}
        found = [known[name] for name in arguments.get("locator", "").split(",") if name in known]
        first = max(found, default=0) + (1 if self.lie == "disconnected" else 0)
        return [_header(block) for block in self._chain[first : first + int(arguments["limit"])]]

    def announce(self) -> None:
        """Tell an honest node of the lie, and send it a transaction with a broken signature."""
        node = self._random.choice(self._world.nodes)
        status = self._status()
        news = {"url": self.url, "hash": status["tip"], "height": status["height"], "chainwork": status["chainwork"]}
        node.serve("POST", "/nodes/announce", json.dumps(news).encode())
        state = node.checker.tip
        forged = {**self._signed(self._random.choice(KEYS), state), "signature": "11" * 64}
        node.serve("POST", "/transactions/batch", json.dumps({"transactions": [forged]}).encode())


def _header(block: Json) -> Json:
    return {name: value for name, value in block.items() if name != "transactions"}
