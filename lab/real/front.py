"""A withholding front before a real node: `lab/withholding.py` with HTTP, and with processes that may end at any time.

The node's peers talk to the front, since the router sends their requests to it, and so does the node. Both doors answer
`/status`, `/headers` and `/chain` themselves, and take announcements. Of what peers ask besides, only transactions pass
to the node, so nothing of a withheld block does. What the node asks besides passes to its peers over its links.

The doors live in the router's loop. One thread asks the strategy and acts on the node, one thing after the other.
"""

from __future__ import annotations

import asyncio
import json
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Literal
from urllib.parse import urlsplit

import urllib3

from api.cli.client import NodeClient
from api.cli.group import Failure
from lab.blocktree import BlockTree
from lab.chain_pages import handles
from lab.interface import LabBlock, LabError
from lab.real.chain_copy import ChainCopy
from lab.real.door import Answer, Asked, Door, NoAnswer, ask
from lab.real.false_clock import FalseClock
from lab.real.going_back import go_back
from lab.real.node import RealNode
from lab.real.router import Router
from lab.strategy import Known, Strategy, TellsTime
from lab.withholding import Withholding
from services.peers.client import POST_DEADLINE, STATUS_DEADLINE
from shared.amounts import parse_amount
from shared.chain_spec import ChainSpec
from shared.errors import NodeError
from shared.transaction import read_transaction

# Seconds between two rounds in which the front asks all peers for their tips: announcements may be lost.
ASK_SECONDS = 5.0
# Seconds until the lab has seen a block that a peer has.
_SEEN_SECONDS = 3.0
_SEEN_POLL = 0.02
_NODE_SECONDS = 3.0  # for an answer of the node
_END_SECONDS = 10.0  # in which a front has ended: a strategy may be thinking
_BATCH = "/transactions/batch"
_HEEDED = (202, b'{"heeded": true}')


class Front:
    """The front of one node, from `start` to `end` or `close`: the surroundings of its `Withholding`.

    Args:
        nodes: all nodes of the lab.
        failed: called with the sentence about a strategy that failed; its front has ended then.
    """

    def __init__(
        self,
        node: RealNode,
        nodes: Sequence[RealNode],
        strategy: Strategy,
        tree: BlockTree,
        router: Router,
        spec: ChainSpec,
        failed: Callable[[str], None],
    ) -> None:
        """Raises `LabError`: the node does not answer."""
        self._node = node
        self._nodes = nodes
        self._peers = {other.url: other for other in nodes if other is not node}
        self._tree = tree
        self._router = router
        self._report = failed
        tip = _known(node.tip(), node.number)
        self._blocks = Withholding(strategy, self, self._find, tip)
        self._clock = FalseClock(node, nodes, tree, spec, self._blocks.timestamp)
        self._lies = isinstance(strategy, TellsTime)  # about the time
        self._copy = ChainCopy(tree, self._holders)
        self._outer, self._inner = Door(self._answer_others), Door(self._answer_own)
        self._voice = router.voice(node.number)
        self._asking: dict[str, bool] = {}  # peers that are asked for their tips now: whether to ask once more
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"front of {node.name}", daemon=True)
        self._ended = threading.Event()

    # --- its life ---

    def start(self) -> None:
        """Stand before the node."""
        number = self._node.number
        self._thread.start()
        outer, inner = self._router.run(self._outer.open()), self._router.run(self._inner.open())
        self._router.redirect(number, outer)
        self._router.divert(number, inner)
        self._tree.follow(number, self._moved)
        if (tip := self._tree.tip(number)) is not None:  # it may have moved meanwhile
            self._moved(tip.hash)
        self._router.spawn(self._ask_always())
        if self._lies:
            self._router.spawn(self._clock.every_second(lambda: self._work.put(self._clock.look), self._ended))

    def end(self) -> None:
        """Publish what was withheld; the node is an ordinary one from now on."""
        self._work.put(self._end)
        self._thread.join(_END_SECONDS)
        self._step_aside()

    def close(self) -> None:
        """Go away, and publish nothing."""
        self._clock.leave()
        self._work.put(None)
        self._thread.join(_END_SECONDS)
        self._step_aside()

    def _end(self) -> None:
        self._step_aside()
        self._blocks.end()
        if self._lies:
            self._work.put(self._clock.set_right)
        self._work.put(None)

    def _step_aside(self) -> None:
        """The node and its peers talk to each other. Safe to repeat."""
        if not self._ended.is_set():
            self._ended.set()
            number = self._node.number
            self._tree.follow(number, None)
            self._router.redirect(number, None)
            self._router.divert(number, None)
            self._router.spawn(self._shut())

    async def _shut(self) -> None:
        await asyncio.gather(self._outer.close(), self._inner.close())

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                work()
            except (Failure, LabError, urllib3.exceptions.HTTPError, OSError):
                pass  # the node has ended, or ends just now: what is left is done when it is reminded
            except Exception as error:  # the front goes on, and whoever watches the lab is told
                self._tree.note("said", text=f"A bug in the front of {self._node.name}: {error!r:.200}")

    # --- what it answers ---

    async def _answer_others(self, asked: Asked) -> Answer:
        """The answer to a request of a peer."""
        if self._node.state != "running":
            raise NoAnswer
        if handles(asked.method, asked.path):
            return await self._copy.answer(self._blocks.public.hash, asked.path)
        if asked.method == "POST" and asked.path == "/nodes/announce":
            self._heard_of(asked.body)
            return _HEEDED
        if asked.method == "POST" and asked.path == _BATCH:
            await asyncio.wrap_future(self._later(lambda: self._take(asked.body)))
            return 202, b"{}"
        return 404, b"{}"

    async def _answer_own(self, asked: Asked) -> Answer:
        """The answer to a request of the node to one of its peers."""
        if handles(asked.method, asked.path):
            return await self._copy.answer(self._blocks.base.hash, asked.path)
        if asked.path == "/nodes/announce":
            return _HEEDED  # the strategy decides what others hear
        return await self._ask(asked, POST_DEADLINE)

    async def _ask(self, asked: Asked, seconds: float) -> Answer:
        """Ask a peer in the node's place, over the node's links. Raises `OSError`."""
        return await ask(self._voice, asked, seconds, through=True)

    def _take(self, body: bytes) -> None:
        """Give the node the transactions of others that the strategy takes."""
        with suppress(ValueError, KeyError, TypeError, RecursionError):  # else it is no batch
            self._give(json.loads(body)["transactions"])

    def _give(self, transactions: list[dict[str, Any]]) -> None:
        try:
            taken = self._blocks.takes([read_transaction(item).id for item in transactions])
        except NodeError:
            return  # an ordinary node would refuse them
        kept = [item for item, is_taken in zip(transactions, taken, strict=True) if is_taken]
        if kept:
            self._client().post(_BATCH, {"transactions": kept}, timeout=_NODE_SECONDS)

    # --- what it hears ---

    async def _ask_always(self) -> None:
        while not self._ended.is_set():
            if self._node.state == "running":
                for url in self._peers:
                    self._ask_tip(url)
                self._work.put(self._blocks.remind)
            await asyncio.sleep(ASK_SECONDS)

    def _heard_of(self, body: bytes) -> None:
        with suppress(ValueError, KeyError, TypeError, RecursionError):
            url = json.loads(body)["url"]
            if url in self._peers:
                self._ask_tip(url)

    def _ask_tip(self, url: str) -> None:
        """Ask a peer for its tip; once more afterwards, if it is being asked."""
        if url in self._asking:
            self._asking[url] = True
        elif not self._ended.is_set():
            self._asking[url] = True
            self._router.spawn(self._ask_until_known(url))

    async def _ask_until_known(self, url: str) -> None:
        try:
            while self._asking[url] and not self._ended.is_set():
                self._asking[url] = False
                with suppress(OSError, ValueError, KeyError, TypeError):
                    status, body = await self._ask(Asked("GET", "/status", urlsplit(url).netloc), STATUS_DEADLINE)
                    tip = str(json.loads(body)["tip"]) if status == 200 else ""
                    if await self._seen(tip):
                        self._work.put(lambda tip=tip: self._hear(tip))  # type: ignore[misc]
        finally:
            del self._asking[url]

    async def _seen(self, tip: str) -> bool:
        """Wait until the lab has seen a block. A peer that only claims one is not heard."""
        tries = int(_SEEN_SECONDS / _SEEN_POLL)
        while self._tree.block(tip) is None and tries > 0:
            tries -= 1
            await asyncio.sleep(_SEEN_POLL)
        return self._tree.block(tip) is not None

    def _hear(self, tip: str) -> None:
        known = self._find(tip)
        if known is not None:
            self._blocks.heard(known)

    def _moved(self, tip: str) -> None:
        """The node has another tip: called by whoever watches it."""
        known = self._find(tip)
        if known is not None:
            self._work.put(lambda: self._blocks.moved(known))
            if self._lies:
                self._work.put(self._clock.look)

    # --- blocks ---

    def _find(self, hash: str) -> Known | None:
        block = self._tree.block(hash)
        return None if block is None else _known(block, self._node.number)

    def _holders(self, hash: str) -> list[int]:
        """The ports of the nodes that run and have stored a block, the front's own first."""
        order = [self._node, *self._peers.values()]
        return [
            node.running.port for node in order if node.state == "running" and self._tree.has_heard(node.number, hash)
        ]

    # --- the surroundings ---

    def note(self, kind: Literal["withheld", "published"], hash: str) -> None:
        self._tree.note(kind, node=self._node.number, hash=hash)

    def failed(self, sentence: str) -> None:
        self._step_aside()
        self._report(sentence)
        if self._lies:
            self._work.put(self._clock.set_right)

    def waiting_fees(self) -> int:
        with suppress(Failure, LabError, urllib3.exceptions.HTTPError, KeyError, TypeError):
            found = self._client().get("/mempool", timeout=_NODE_SECONDS, limit=500)
            return sum(parse_amount(item["fee"], field="fee") for item in found["transactions"])
        return 0

    def announce(self, tip: Known) -> None:
        news = {"url": self._node.url, "hash": tip.hash, "height": tip.height, "chainwork": tip.chainwork}
        body = json.dumps(news).encode()
        for url in self._peers:
            self._router.spawn(self._tell(Asked("POST", "/nodes/announce", urlsplit(url).netloc, body)))

    async def _tell(self, asked: Asked) -> None:
        with suppress(OSError):  # that peer asks for the tip in some seconds
            await self._ask(asked, POST_DEADLINE)

    def show(self, base: Known) -> None:
        self._work.put(lambda: self._show(base))

    def _show(self, base: Known) -> None:
        """Announce the base to the node in the name of one of its peers. If it heeds none, all get another chance."""
        if self._blocks.base.hash != base.hash:
            return
        client = self._client()
        news = {"hash": base.hash, "height": base.height, "chainwork": base.chainwork}
        for url in self._peers:
            if client.post("/nodes/announce", {"url": url, **news}, timeout=_NODE_SECONDS)["heeded"]:
                return
        if client.get("/status", timeout=_NODE_SECONDS)["tip"] != base.hash:
            unheard = [peer["url"] for peer in self._node.peers() if peer["state"] not in ("ok", "candidate")]
            if unheard:
                client.post("/nodes/register", {"nodes": unheard})
            client.post("/nodes/resolve", timeout=_NODE_SECONDS, wait=0)

    def take_back(self, base: Known) -> None:
        self._work.put(lambda: self._take_back(base))

    def _take_back(self, base: Known) -> None:
        """Have the node leave its branch for `base`, and give it the transactions of that branch again."""
        client = self._client()
        tip = self._find(str(client.get("/status", timeout=_NODE_SECONDS)["tip"]))
        if self._blocks.base.hash != base.hash or tip is None:
            return
        left = self._blocks.left_for(tip, base)
        if left:
            go_back(self._node, len(left))
            self._give_again(client, left)
        self._show(base)

    def _give_again(self, client: NodeClient, left: Sequence[Known]) -> None:
        for block in left:
            if block.transactions:
                shown = client.get(f"/blocks/{block.hash}", timeout=_NODE_SECONDS)["transactions"]
                self._give([{key: value for key, value in item.items() if key != "id"} for item in shown[1:]])

    def _client(self) -> NodeClient:
        return self._node.client()

    def _later(self, work: Callable[[], None]) -> Future[None]:
        """Have the front's thread do something."""
        done: Future[None] = Future()

        def do() -> None:
            try:
                work()
            finally:
                done.set_result(None)

        self._work.put(do)
        return done


def _known(block: LabBlock, number: int) -> Known:
    """A block as the strategy of a node sees it."""
    return Known(
        block.hash, block.height, block.chainwork, block.finder == number, block.fees, block.parent, block.transactions
    )
