"""A withholding front in virtual time: `lab/withholding.py` with the messages of a simulated network.

The node itself is an ordinary one. Its peers talk to the front, and so does the node. Transactions pass.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Literal

from lab.chain_pages import handles
from lab.simulated import chain_door
from lab.simulated.branches import fork_of
from lab.simulated.scheduler import Process
from lab.strategy import Known, Selects, Strategy
from lab.withholding import Withholding
from services.errors import PeerFailed
from services.peers.client import POST_DEADLINE, STATUS_DEADLINE
from services.peers.http import PeerRequest
from shared.errors import NodeError
from shared.transaction import read_transaction

if TYPE_CHECKING:
    from lab.simulated.checker import State
    from lab.simulated.lab_network import LabNetwork
    from lab.simulated.mining_node import MiningNode

# Seconds between two rounds in which the front asks all peers for their tips: announcements may be lost.
ASK_SECONDS = 5.0
_HEEDED = b'{"heeded": true}'
_MAX_ANSWER = 2**20


class Front:
    """The front of one node: the surroundings of its `Withholding`."""

    def __init__(self, network: LabNetwork, node: MiningNode, strategy: Strategy) -> None:
        self._selects = isinstance(strategy, Selects)
        self._network = network
        self._node = node
        self._process = Process(f"{node.name}.front")
        self._asking: set[str] = set()  # peers that are asked for their tips now
        tip = self._known(node.checker.tip)
        self._blocks = Withholding(strategy, self, self._find, tip)
        network.every(ASK_SECONDS, self._ask_all, network.random.uniform(0.0, ASK_SECONDS))

    # --- what it answers ---

    def answer_own(self, request: PeerRequest) -> tuple[int, bytes] | None:
        """The answer to a request of the front's own node. None: it passes."""
        if request.path == "/nodes/announce":
            return 202, _HEEDED  # the strategy decides what others hear
        if not handles(request.method, request.path):
            return None
        return chain_door.answer(self._network.tree, self._state(self._blocks.base), request.path)

    def answer_others(self, request: PeerRequest) -> tuple[int, bytes] | None:
        """The answer to a request of another node. None: it passes."""
        if handles(request.method, request.path):
            return chain_door.answer(self._network.tree, self._state(self._blocks.public), request.path)
        if request.path == "/nodes/announce":
            self._ask(str(json.loads(request.body or b"{}")["url"]))
            return 202, _HEEDED
        if request.path == "/transactions/batch" and self._selects:
            return self._select(request.body or b"{}")
        return None

    def _select(self, body: bytes) -> tuple[int, bytes] | None:
        """Hand on those transactions that the strategy takes."""
        given = json.loads(body)["transactions"]
        taken = self._blocks.takes([read_transaction(item).id for item in given])
        kept = [item for item, is_taken in zip(given, taken, strict=True) if is_taken]
        if kept:
            self._node.serve("POST", "/transactions/batch", json.dumps({"transactions": kept}).encode())
        return 202, b"{}"

    # --- what it hears ---

    def _ask_all(self) -> None:
        if not self._blocks.ended and self._node.running:
            for url in self._network.by_url:
                if url != self._node.url:
                    self._ask(url)

    def _ask(self, url: str) -> None:
        """Ask a peer for its tip, unless it is being asked."""
        if not self._blocks.ended and url not in self._asking and url in self._network.by_url:
            self._asking.add(url)
            self._network.scheduler.spawn(f"{self._process.name} asks", self._process, partial(self._ask_now, url))

    def _ask_now(self, url: str) -> None:
        request = PeerRequest(url, "/status", STATUS_DEADLINE, _MAX_ANSWER)
        try:
            status, body = self._network.carry(self._node.number, request)
        except PeerFailed:
            return
        finally:
            self._asking.discard(url)
        if status == 200:
            tip = self._find(json.loads(body)["tip"])
            if tip is not None:
                self._blocks.heard(tip)

    def moved(self, tip: State) -> None:
        """The node has another tip."""
        self._blocks.moved(self._known(tip))

    def end(self) -> None:
        """The node behaves as every other one from now on: it announces what it has."""
        self._network.fronts.pop(self._node.number, None)
        self._blocks.end()

    # --- blocks ---

    def _find(self, hash: str) -> Known | None:
        state = self._network.known.get(hash)
        return None if state is None else self._known(state)

    def _state(self, known: Known) -> State:
        return self._network.known[known.hash]

    def _known(self, state: State) -> Known:
        block = state.block
        found = self._network.found.get(block.hash)
        paid = block.transactions[1:]
        return Known(
            block.hash,
            block.index,
            state.claim.chainwork,
            found is not None and found.finder == self._node.number,
            sum(item.fee for item in paid),
            str(block.header.previous_hash),
            tuple(item.id for item in paid),
        )

    # --- the surroundings ---

    def note(self, kind: Literal["withheld", "published"], hash: str) -> None:
        self._network.note(kind, node=self._node.number, hash=hash)

    def failed(self, sentence: str) -> None:
        self._network.fronts.pop(self._node.number, None)
        self._network.strategy_failed(self._node.number, sentence)

    def waiting_fees(self) -> int:
        entries = self._node.raw.hgetall(self._node.checker.keys.entries).values()
        tree = self._network.tree
        return sum(tree.transaction(entry.partition(b"\n")[2]).fee for entry in entries)

    def announce(self, tip: Known) -> None:
        for url in self._network.by_url:
            if url != self._node.url:
                request = PeerRequest(
                    url,
                    "/nodes/announce",
                    POST_DEADLINE,
                    _MAX_ANSWER,
                    chain_door.news(self._node.url, self._state(tip)),
                )
                self._network.scheduler.spawn(
                    f"{self._process.name} tells", self._process, partial(self._tell, request)
                )

    def _tell(self, request: PeerRequest) -> None:
        try:
            self._network.carry(self._node.number, request)
        except PeerFailed:
            pass  # that peer asks for our tip in some seconds

    def show(self, base: Known) -> None:
        """Announce the base to the node in the name of one of its peers."""
        url = next(url for url in self._network.by_url if url != self._node.url)

        def announce() -> None:
            self._node.serve("POST", "/nodes/announce", chain_door.news(url, self._state(self._blocks.base)))

        self._network.scheduler.spawn(f"{self._process.name} shows", self._process, announce)

    def take_back(self, base: Known) -> None:
        self._network.scheduler.spawn(f"{self._process.name} goes back", self._process, partial(self._back, base))

    def _back(self, base: Known) -> None:
        """Have the node take back its branch, as a developer's node does on demand."""
        tip = self._node.checker.tip
        if self._blocks.base.hash != base.hash or tip.block.hash == base.hash:
            return
        try:
            self._node.go_back(fork_of(self._state(base), tip).block.index)
        except NodeError:
            pass  # its tip has just changed: what follows from that decides
        self.show(base)
