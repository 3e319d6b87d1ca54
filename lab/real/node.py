"""One real node of a lab."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import urllib3

from api.cli.client import NodeClient, once_the_store_answers
from api.cli.group import Failure
from api.cli.wallet.transfers import submit_transfer
from lab.blocktree import BlockTree
from lab.interface import LabBlock, LabError, LabNode, NodeState
from lab.real.hands import Hands
from lab.real.warden import Warden
from lab.real.watcher import Watcher
from lab.units import base_units, hashes_per_second
from services.launch.children import Start, start_process
from services.launch.launcher import RunningNode
from services.launch.node_plan import NodePlan
from services.system.text_files import read_secret
from services.wallet import keyring
from shared.amounts import parse_amount
from shared.errors import NodeError

HOST = "127.0.0.1"
# Of the lab's client to a node: the scenario, the watcher, the front, and the threads of the page use it at once.
_CONNECTIONS = 16
_BLOCK_SECONDS = 60.0  # that one block may take
_NEXT = 0.05
# Seconds for which a request is repeated while the node's store does not answer: a lab of several nodes keeps a machine
# busy by itself.
_STORE_SECONDS = 30.0

T = TypeVar("T")


class RealNode:
    """One node. Its processes run while it is `running`.

    Args:
        plan: with fixed ports from the first start on.
        others: the URLs of its peers.
        start_program: how its processes are started.
    """

    def __init__(
        self,
        number: int,
        plan: NodePlan,
        tree: BlockTree,
        hands: Hands,
        finder_of: Callable[[str], int | None],
        start_program: Start = start_process,
    ) -> None:
        self.number = number
        self.name = f"node {number}"
        self._start_program = start_program
        self.running = RunningNode(plan, start_program=start_program)
        self.others: list[str] = []
        self._plan = plan
        self._tree = tree
        self._hands = hands
        self._finder_of = finder_of
        self._state: NodeState = "stopped"
        self._watcher: Watcher | None = None
        self._mines = True
        self._rate: int | None = None
        self._client: NodeClient | None = None
        self._warden: Warden | None = None
        self._told: set[int] = set()  # process ids that the warden knows

    # --- the interface ---

    @property
    def state(self) -> NodeState:
        return self._state

    @property
    def wallet(self) -> str:
        return self.running.address

    @property
    def url(self) -> str:
        """The node's API and explorer."""
        return self.running.url

    @property
    def rpc_url(self) -> str:
        """The node's JSON-RPC."""
        return f"{self.url}/rpc"

    def tip(self) -> LabBlock:
        hash = str(self._get("/status")["tip"])
        deadline = time.monotonic() + 5.0
        while (block := self._tree.block(hash)) is None:
            if time.monotonic() > deadline:
                raise LabError(f"{self.name} has a tip that the lab does not see.")
            time.sleep(_NEXT)
        return block

    def balance(self, address: str) -> int:
        return parse_amount(self._get(f"/accounts/{address}")["balance"], field="balance")

    def limit(self, hash_rate: str | float | None) -> None:
        rate = None if hash_rate is None else int(hashes_per_second(hash_rate))
        self._rate = rate
        self._apply_limit()
        self._tree.note("limit", node=self.number, hash_rate=rate)

    def mine(self, blocks: int = 1) -> None:
        client = self.client()
        for _ in range(blocks):
            # Repeated, it may add a second request, and so a block more.
            answer = self._answered(lambda: client.post("/mine", wait=0))
            job = str(answer.get("job", ""))
            deadline = time.monotonic() + _BLOCK_SECONDS
            while job:
                found = self._answered(partial(client.get, f"/jobs/{job}", timeout=20.0, wait=5))
                if found["status"] == "finished":
                    break
                if found["status"] == "cancelled" or time.monotonic() > deadline:
                    raise LabError(f"{self.name} found no block: its mining request was {found['status']}.")

    def send(
        self,
        to: str | LabNode,
        amount: str | float,
        nonce: int | None = None,
        fee: str | float | None = None,
        at: LabNode | None = None,
    ) -> str:
        receiver = self if at is None else at
        assert isinstance(receiver, RealNode)
        recipient = to if isinstance(to, str) else to.wallet
        units, fee_units = base_units(amount), None if fee is None else base_units(fee)
        signer = keyring.load_signer(self._plan.files.directory)
        with self._answers():
            sent = submit_transfer(receiver.client(), signer, recipient, units, fee=fee_units, nonce=nonce)
        self._tree.note("payment", node=self.number, id=sent["id"], to=recipient, amount=str(amount))
        return str(sent["id"])

    def next_nonce(self) -> int:
        return int(self._get(f"/accounts/{self.wallet}")["pending_nonce"])

    def depth(self, transaction: str) -> int | None:
        client = self.client()
        found = self._answered(lambda: client.find(f"/transactions/{transaction}"))
        if found is None or found.get("status") not in ("pending", "confirmed"):
            return None
        return int(found.get("confirmations", 0))

    def stop(self) -> None:
        self._end(self.running.stop, "stopped")

    def kill(self) -> None:
        self._end(self.running.kill, "killed")

    def start(self) -> None:
        if self._state == "running":
            return

        def again() -> None:
            self.running = RunningNode(self._plan, start_program=self._start_program)
            try:
                self.running.allocate()
                self.running.start(self.others)
                self.watched_by(self._warden)
                self.running.wait_for_api()
                self.running.begin()
                self.running.wait(time.time())
            except BaseException:
                self.running.stop()
                raise

        try:
            self._hands.do(again)
        except NodeError as error:
            raise LabError(f"{self.name} does not start: {error}") from None
        self.follow()

    # --- for the lab ---

    def watched_by(self, warden: Warden | None) -> None:
        """Have the node's Valkey end with the lab, in whatever way that ends."""
        self._warden = warden
        self._told.clear()
        self._tell_warden()

    def _tell_warden(self) -> None:
        if self._warden is not None:
            for pid in set(self.running.pids()) - self._told:
                self._told.add(pid)
                self._warden.process(pid)

    def tick(self) -> None:
        """Look after the node's processes: what has ended is started again."""
        self.running.tick()
        self._tell_warden()

    def keep_place(self, proxy: int) -> None:
        """The ports are reserved: the node has the same ones at its next start. `proxy` is its port of the router."""
        settings = {**self._plan.settings, "QUARRY_PEER_PROXY": f"http://{HOST}:{proxy}"}
        self._plan = replace(self._plan, port=self.running.port, rpc_port=self.running.rpc_port, settings=settings)
        self.running.plan = self._plan

    def follow(self) -> None:
        """The node runs: watch it, and apply what was asked of it before."""
        token = read_secret(self.running.admin_token_file)
        self._client = NodeClient(self.running.url, token, connections=_CONNECTIONS, quiet=True)
        self._state = "running"
        self._tree.note("node", node=self.number, state="running")
        self._watcher = Watcher(self.number, self._client, self._tree, self._finder_of)
        self._apply_limit()  # also ends mining requests that it had stored, if it is not to mine
        self._watcher.start()

    def meet(self, url: str) -> None:
        """Make the node know a peer."""
        client = self.client()
        self._answered(lambda: client.post("/nodes/register", {"nodes": [url]}))

    def ask(self, path: str) -> Any:
        """What the node's API answers to a GET. Raises `LabError`: it refuses, or the node does not run."""
        return self._get(path)

    @property
    def hash_rate(self) -> int | None:
        """The limit of its hashes per second; None: it has none."""
        return self._rate

    def control(self, method: str, *parameters: Any) -> None:
        """Call a control method, as developers' tests do. Raises `LabError`: the node refuses, or does not run."""
        with self._answers():
            answer = self.client().post(
                "/rpc", {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
            )
        if not isinstance(answer, dict) or answer.get("error") is not None:
            raise LabError(f"{self.name} refuses {method}: {answer!r:.200}")

    def peers(self) -> list[dict[str, Any]]:
        """What the node says of its peers."""
        found: list[dict[str, Any]] = self._get("/nodes")["nodes"]
        return found

    def mine_always(self, on: bool) -> None:
        self._mines = on
        if self._watcher is not None:
            self._watcher.mines = on and self._rate != 0
            self._take_or_cancel()

    def _take_or_cancel(self) -> None:
        """Have mining requests wait, or none."""
        assert self._watcher is not None
        client = self.client()
        self._answered(self._watcher.look if self._watcher.mines else lambda: client.delete("/jobs"))

    def _apply_limit(self) -> None:
        if self._state != "running":
            return
        client = self.client()
        if self._rate:
            self._answered(lambda: client.post("/mining/limit", {"hash_rate_limit": self._rate}))
        else:
            self._answered(lambda: client.delete("/mining/limit"))
        if self._watcher is not None:
            self._watcher.mines = self._mines and self._rate != 0
            self._take_or_cancel()

    def _end(self, how: Callable[[], None], state: NodeState) -> None:
        if self._state != "running":
            return
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher = None
        self._client = None
        self._state = state
        self._hands.do(how)
        self._tree.note("node", node=self.number, state=state)

    def client(self) -> NodeClient:
        """Of the node's API. Raises `LabError`: the node does not run."""
        if self._client is None:
            raise LabError(f"{self.name} is {self._state}.")
        return self._client

    def _get(self, path: str) -> Any:
        client = self.client()
        return self._answered(lambda: client.get(path))

    def _answered(self, ask: Callable[[], T]) -> T:
        """What a request is answered with, which is repeated while the store does not answer. Raises `LabError`."""
        with self._answers():
            return once_the_store_answers(ask, _STORE_SECONDS)

    @contextmanager
    def _answers(self) -> Iterator[None]:
        """What the node refuses is a `LabError`."""
        try:
            yield
        except (Failure, urllib3.exceptions.HTTPError) as error:
            said = error.format_message() if isinstance(error, Failure) else str(error)
            raise LabError(f"{self.name}: {said}") from None
