"""A node of the tutorial's network that shares no code with Quarry.

`python -m tests.support.tutorial_node PORT [--wording code]` runs one.

Written from the tutorial's text with the standard library only. The chain is in memory, no request is checked, and
the neighbours are asked only when a client calls `/nodes/resolve`.

The tutorial's page and its program name the fields of a transaction differently, so there are nodes of both kinds.
"""

import argparse
import hashlib
import itertools
import json
import math
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlparse

Json = dict[str, Any]

_NEIGHBOUR_SECONDS = 10.0


@dataclass(frozen=True)
class Wording:
    """How one kind of node writes the transactions that it puts into blocks."""

    reward_sender: str | int
    recipient: str
    amount: str


WORDINGS = {"readme": Wording("0", "recipient", "amount"), "code": Wording(0, "recient", "data")}


def block_hash(block: Json) -> str:
    return hashlib.sha256(json.dumps(block, sort_keys=True).encode()).hexdigest()


def is_proof(last_proof: int, proof: int) -> bool:
    return hashlib.sha256(f"{last_proof}{proof}".encode()).hexdigest().startswith("0000")


def find_proof(last_proof: int) -> int:
    """The smallest proof after `last_proof`: the same on every chain."""
    proof = 0
    while not is_proof(last_proof, proof):
        proof += 1
    return proof


def is_valid(chain: Sequence[Json]) -> bool:
    """All that the tutorial asks of a chain: links and proofs. Its first block may be anything."""
    for last, block in itertools.pairwise(chain):
        if block["previous_hash"] != block_hash(last) or not is_proof(last["proof"], block["proof"]):
            return False
    return True


@dataclass
class TutorialNode:
    """The chain, what waits for the next block, and the neighbours."""

    wording: Wording = WORDINGS["readme"]
    clock: Callable[[], float] = time.time
    name: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        self.neighbours: set[str] = set()
        self.waiting: list[Json] = []
        self.chain: list[Json] = []
        self._forge(proof=100, previous_hash=1)

    def _forge(self, proof: int, previous_hash: str | int) -> Json:
        block = {
            "index": len(self.chain) + 1,
            "timestamp": self.clock(),
            "transactions": self.waiting,
            "proof": proof,
            "previous_hash": previous_hash,
        }
        self.waiting = []
        self.chain.append(block)
        return block

    def submit(self, sender: Any, recipient: Any, amount: Any) -> int:
        """Keep a transaction for the next block; the index of that block."""
        with self.lock:
            self.waiting.append({"sender": sender, self.wording.recipient: recipient, self.wording.amount: amount})
            return int(self.chain[-1]["index"]) + 1

    def mine(self) -> Json:
        with self.lock:
            last = self.chain[-1]
            proof = find_proof(last["proof"])
            self.submit(self.wording.reward_sender, self.name, 1)
            return self._forge(proof, block_hash(last))

    def register(self, address: str) -> None:
        with self.lock:
            self.neighbours.add(urlparse(address).netloc)

    def consider(self, length: int, chain: list[Json]) -> bool:
        """Take over a neighbour's chain if it is longer and valid."""
        with self.lock:
            if length <= len(self.chain) or not is_valid(chain):
                return False
            self.chain = chain
            return True

    def resolve(self) -> bool:
        """Ask all neighbours for their chains. True if one of them replaced ours."""
        replaced = False
        for netloc in sorted(self.neighbours):
            try:
                with urllib.request.urlopen(f"http://{netloc}/chain", timeout=_NEIGHBOUR_SECONDS) as response:
                    answer = json.loads(response.read())
            except OSError:  # urllib raises it too for a status outside 200…299
                continue
            replaced |= self.consider(answer["length"], answer["chain"])
        return replaced


class _Handler(BaseHTTPRequestHandler):
    node: TutorialNode

    def do_GET(self) -> None:
        self._answer({**_READING, **_EITHER})

    def do_POST(self) -> None:
        self._answer({**_WRITING, **_EITHER})

    def _answer(self, routes: dict[str, "_Route"]) -> None:
        route = routes.get(urlparse(self.path).path)
        try:
            given = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")
            status, value = route(self.node, given) if route else (404, "Not Found")
        except ValueError:
            status, value = 400, "Bad Request"
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if isinstance(value, str) else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: tests read the answers."""


_Answer = tuple[int, Any]
_Route = Callable[[TutorialNode, Any], _Answer]


def _chain(node: TutorialNode, _: Any) -> _Answer:
    with node.lock:
        return 200, {"chain": list(node.chain), "length": len(node.chain)}


def _mine(node: TutorialNode, _: Any) -> _Answer:
    block = node.mine()
    shown = ("index", "transactions", "proof", "previous_hash")
    answer = {"message": "Forged new block.", **{name: block[name] for name in shown}}
    return 200, [answer, 200] if node.wording is WORDINGS["code"] else answer


def _submit(node: TutorialNode, given: Any) -> _Answer:
    if not isinstance(given, dict) or not {"sender", "recipient", "amount"} <= given.keys():
        return 400, "Missing values"
    index = node.submit(given["sender"], given["recipient"], given["amount"])
    # The status is in the body too: the tutorial passes both to the function that writes JSON.
    return 200, [{"message": f"Transaction will be added to the Block {index}."}, 200]


def _register(node: TutorialNode, given: Any) -> _Answer:
    nodes = given.get("nodes") if isinstance(given, dict) else None
    if nodes is None:
        return 400, "Error: Please supply a valid list of nodes"
    for address in nodes:
        node.register(address)
    known = sorted(node.neighbours)
    return 201, {"message": "New nodes have been added.", "all_nodes": known, "total_nodes": known}


def _resolve(node: TutorialNode, _: Any) -> _Answer:
    replaced = node.resolve()
    with node.lock:
        if replaced:
            return 200, {"message": "Our chain was replaced.", "new_chain": list(node.chain)}
        return 200, {"message": "Our chain is authoritative.", "chain": list(node.chain)}


_READING: dict[str, _Route] = {"/chain": _chain, "/mine": _mine}
_WRITING: dict[str, _Route] = {"/nodes/register": _register, "/miner/register": _register}
# Its page says POST and its program GET, or the other way round.
_EITHER: dict[str, _Route] = {
    "/transactions/new": _submit,
    "/transaction/new": _submit,
    "/nodes/resolve": _resolve,
    "/miner/nodes/resolve": _resolve,
}


class TutorialServer(ThreadingHTTPServer):
    """A node behind a port of this machine; 0 takes a free one. Run `serve_forever`, then `shutdown`."""

    daemon_threads = True

    def __init__(self, node: TutorialNode, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), type("Handler", (_Handler,), {"node": node}))
        self.node = node

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


def ticking(start: float = 1525160363.12144, step: float = math.pi) -> Callable[[], float]:
    """A clock that moves `step` seconds at each call, with fractions that use all digits of a float."""
    moments = iter(start + step * count for count in range(1_000_000))
    return lambda: next(moments)


def main() -> None:
    parser = argparse.ArgumentParser(description="A node of the tutorial's network.")
    parser.add_argument("port", type=int)
    parser.add_argument("--wording", choices=sorted(WORDINGS), default="readme")
    arguments = parser.parse_args()
    with TutorialServer(TutorialNode(WORDINGS[arguments.wording]), arguments.port) as server:
        print(server.url, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
