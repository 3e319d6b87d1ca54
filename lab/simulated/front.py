"""A withholding front: it stands between a node whose miner has a strategy and the node's peers.

The node itself is an ordinary one. Its peers talk to the front, which shows them the branch that the strategy has
published. The node talks to the front as well, which shows it the branch that the strategy works on: the blocks of
others are held back until the strategy takes them. Transactions pass.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Literal

from lab.guard import Guard
from lab.simulated import chain_door
from lab.simulated.branches import above, fork_of
from lab.simulated.scheduler import Process
from lab.strategy import Known, Selects, Strategy, View
from services.errors import PeerFailed
from services.peers.client import POST_DEADLINE, STATUS_DEADLINE
from services.peers.http import PeerRequest
from shared.errors import NodeError
from shared.forkchoice import is_better
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
    """The front of one node."""

    def __init__(self, network: LabNetwork, node: MiningNode, strategy: Strategy) -> None:
        self.ended = False
        self._guard = Guard(strategy, partial(network.strategy_failed, node.number))
        self._selects = strategy if isinstance(strategy, Selects) else None
        self._network = network
        self._node = node
        self._public = node.checker.tip  # the best tip that everybody may know
        self._base = node.checker.tip  # the tip that the node is shown
        self._pinned = False  # the strategy works on an older block of the public branch
        self._told = {node.checker.tip.block.hash}  # blocks of others that the strategy was told of
        self._asked: set[str] = set()  # own blocks that the strategy was asked about
        self._published: set[str] = set()  # own blocks that are shown
        self._process = Process(f"{node.name}.front")
        self._asking: set[str] = set()  # peers that are asked for their tips now
        network.every(ASK_SECONDS, self._ask_all, network.random.uniform(0.0, ASK_SECONDS))

    # --- what it answers ---

    def answer_own(self, request: PeerRequest) -> tuple[int, bytes] | None:
        """The answer to a request of the front's own node. None: it passes."""
        if request.path == "/nodes/announce":
            return 202, _HEEDED  # the strategy decides what others hear
        if not chain_door.handles(request.method, request.path):
            return None
        return chain_door.answer(self._network.tree, self._base, request.path)

    def answer_others(self, request: PeerRequest) -> tuple[int, bytes] | None:
        """The answer to a request of another node. None: it passes."""
        if chain_door.handles(request.method, request.path):
            return chain_door.answer(self._network.tree, self._public, request.path)
        if request.path == "/nodes/announce":
            self._ask(str(json.loads(request.body or b"{}")["url"]))
            return 202, _HEEDED
        if request.path == "/transactions/batch" and self._selects is not None:
            return self._select(request.body or b"{}", self._selects)
        return None

    def _select(self, body: bytes, selects: Selects) -> tuple[int, bytes] | None:
        """Hand on those transactions that the strategy takes."""
        given = json.loads(body)["transactions"]
        try:
            kept = [item for item in given if selects.takes(read_transaction(item).id)]
        except Exception as error:
            self._fail(f"raised {type(error).__name__} in takes: {error}")
            kept = given
        if kept:
            self._node.serve("POST", "/transactions/batch", json.dumps({"transactions": kept}).encode())
        return 202, b"{}"

    # --- what it hears ---

    def _ask_all(self) -> None:
        if not self.ended and self._node.running:
            for url in self._network.by_url:
                if url != self._node.url:
                    self._ask(url)

    def _ask(self, url: str) -> None:
        """Ask a peer for its tip, unless it is being asked."""
        if not self.ended and url not in self._asking and url in self._network.by_url:
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
        if status == 200 and not self.ended:
            tip = self._network.known.get(json.loads(body)["tip"])
            if tip is not None:
                self._hear(tip)

    def _hear(self, tip: State) -> None:
        """Tell the strategy of a tip of others, unless it was told of it. It knows all blocks below it then."""
        if self._is_known(tip):
            return
        state: State | None = tip
        while state is not None and not self._is_known(state):
            self._told.add(state.block.hash)
            state = state.parent
        if is_better(tip.claim, self._public.claim):
            follows = not self._pinned and not self._node_is_ahead()
            self._public = tip
            if follows:
                self._base = tip  # the node is shown it when the strategy has answered
        self._act("on_heard", tip)

    def _is_known(self, state: State) -> bool:
        found = self._network.found.get(state.block.hash)
        own = found is not None and found.finder == self._node.number
        return own or state.parent is None or state.block.hash in self._told

    def moved(self, tip: State) -> None:
        """The node has another tip. If it has found it, the strategy decides what becomes of it."""
        name = tip.block.hash
        if self._network.found[name].finder != self._node.number or name in self._asked or self._tip() is not tip:
            return  # not its own block, or one that it will leave at once, since it has been shown a better one
        self._asked.add(name)
        self._act("on_found", tip)
        if not self.ended and name not in self._published:
            self._network.note("withheld", node=self._node.number, hash=name)

    # --- what the strategy sees, and does ---

    def view(self, block: State) -> View:
        """What the strategy knows when it is asked about a block."""
        tip = self._tip()
        fork = fork_of(tip, self._public)
        private = above(fork, tip)
        known = tuple(map(self._known, private))
        shown = sum(state.block.hash in self._published for state in private)
        return View(self._known(self._public), self._known(fork), known, shown, self._known(block), self._waiting())

    def _tip(self) -> State:
        """The block that the node works on: its tip, unless it has been shown a better one that it will take."""
        tip = self._node.checker.tip
        return self._base if is_better(self._base.claim, tip.claim) else tip

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

    def _waiting(self) -> int:
        """Fees in the node's mempool, base units."""
        entries = self._node.raw.hgetall(self._node.checker.keys.entries).values()
        tree = self._network.tree
        return sum(tree.transaction(entry.partition(b"\n")[2]).fee for entry in entries)

    def _act(self, event: Literal["on_found", "on_heard"], block: State) -> None:
        """Ask the strategy about a block, and do what it says. After a failure it is not asked again."""
        view = self.view(block)
        action = self._guard.on_found(view) if event == "on_found" else self._guard.on_heard(view)
        onto = self._network.known.get(action.onto) if action.onto is not None else None
        if action.onto is not None and (onto is None or fork_of(onto, self._public) is not onto):
            self._fail(f"wants to mine onto {action.onto!r:.40}, which is no block of the public branch")
            return
        if self._guard.failed:
            self.end()
            return
        if action.publish:
            self._publish([known.hash for known in view.withheld[: action.publish]])
        if onto is not None:
            self._go(onto, pinned=onto is not self._public)
        elif action.give_up or not (self._pinned or self._node_is_ahead()):
            self._go(self._public, pinned=False)

    def _fail(self, what: str) -> None:
        if not self.ended:
            self._network.strategy_failed(
                self._node.number, f"The strategy {self._guard.name} {what}; its node is honest from now on."
            )
            self.end()

    def _publish(self, hashes: list[str]) -> None:
        for name in hashes:
            self._published.add(name)
            self._network.note("published", node=self._node.number, hash=name)
        newest = self._network.known[hashes[-1]]
        if is_better(newest.claim, self._public.claim):
            self._public = newest
        self._announce(newest)

    def _announce(self, tip: State) -> None:
        """Tell all peers of a tip."""
        for url in self._network.by_url:
            if url != self._node.url:
                request = PeerRequest(
                    url, "/nodes/announce", POST_DEADLINE, _MAX_ANSWER, chain_door.news(self._node.url, tip)
                )
                self._network.scheduler.spawn(
                    f"{self._process.name} tells", self._process, partial(self._tell, request)
                )

    def _tell(self, request: PeerRequest) -> None:
        try:
            self._network.carry(self._node.number, request)
        except PeerFailed:
            pass  # that peer asks for our tip in some seconds

    def _node_is_ahead(self) -> bool:
        """Whether the node has blocks of its own that are not on the public branch."""
        tip = self._tip()
        return fork_of(tip, self._public) is not tip

    def _go(self, base: State, *, pinned: bool) -> None:
        """Show the node the chain that ends with `base`. An ordinary node takes it if it is better than its own; else
        its branch is taken back.
        """
        self._base, self._pinned = base, pinned
        tip = self._node.checker.tip
        if tip is base:
            return
        if is_better(base.claim, tip.claim):
            self._nudge()
        else:
            self._network.scheduler.spawn(f"{self._process.name} goes back", self._process, partial(self._back, base))

    def _nudge(self) -> None:
        """Announce the base to the node in the name of one of its peers."""
        url = next(url for url in self._network.by_url if url != self._node.url)

        def announce() -> None:
            self._node.serve("POST", "/nodes/announce", chain_door.news(url, self._base))

        self._network.scheduler.spawn(f"{self._process.name} shows", self._process, announce)

    def _back(self, base: State) -> None:
        """Have the node take back its branch, as a developer's node does on demand."""
        if self._base is not base or self._node.checker.tip is base:
            return
        try:
            self._node.go_back(fork_of(base, self._node.checker.tip).block.index)
        except NodeError:
            pass  # its tip has just changed: what follows from that decides
        self._nudge()

    def end(self) -> None:
        """The node behaves as every other one from now on: it announces what it has."""
        self.ended = True
        self._network.fronts.pop(self._node.number, None)
        tip = self._node.checker.tip
        if self._node_is_ahead():
            withheld = [state.block.hash for state in above(fork_of(tip, self._public), tip)]
            self._publish([name for name in withheld if name not in self._published] or withheld[-1:])
        self._base = self._public
        self._nudge()
