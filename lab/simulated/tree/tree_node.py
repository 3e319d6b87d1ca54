"""One node and one link of a `TreeLab`, as scenarios see them."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from lab.interface import Conditions, LabBlock, LabError, LabNode, NodeState
from lab.simulated.tree.blocks import Block
from lab.simulated.tree.nodes import Node
from lab.simulated.tree.payments import Payment, Pools
from lab.units import base_units, coins, hashes_per_second
from shared.addresses import is_address
from shared.hashing import sha256

if TYPE_CHECKING:
    from lab.simulated.tree.lab import TreeLab

LEAST_FEE = 0  # base units
# Virtual seconds for a block that a node was told to find, as a multiple of the expected ones.
_PATIENCE = 50.0


class TreeNode:
    """A node with a wallet and a hash rate."""

    def __init__(self, lab: TreeLab, index: int, wallet: str) -> None:
        self.number = index + 1
        self.name = f"node {index + 1}"
        self.wallet = wallet
        self._lab = lab
        self._index = index
        self._state: NodeState = "running"
        self._limit = lab.share

    @property
    def state(self) -> NodeState:
        return self._state

    def _require_running(self) -> None:
        if self._state != "running":
            raise LabError(f"{self.name} does not answer: it is {self._state}.")

    def _pools(self) -> Pools:
        return self._lab.network.keep_accounts([node.wallet for node in self._lab.nodes])

    # --- what it has ---

    def tip(self) -> LabBlock:
        self._require_running()
        return self._lab.described(self._lab.network.nodes[self._index].tip)

    def balance(self, address: str) -> int:
        self._require_running()
        accounts = self._pools().accounts(self._lab.network.nodes[self._index].tip)
        return accounts.balances.get(address, 0)

    def next_nonce(self) -> int:
        self._require_running()
        return self._pools().next_nonce(self._index, self._lab.network.nodes[self._index].tip)

    def depth(self, transaction: str) -> int | None:
        self._require_running()
        tip = self._lab.network.nodes[self._index].tip
        for block in tip.ancestors():
            if transaction in block.payments:
                return tip.height - block.height + 1
        return 0 if transaction in self._pools().waiting[self._index] else None

    # --- what it does ---

    def limit(self, hash_rate: str | float | None) -> None:
        self._limit = self._lab.share if hash_rate is None else hashes_per_second(hash_rate)
        self.apply_rate()
        self._lab.network.weigh()
        self._lab.note("limit", node=self.number, hash_rate=None if hash_rate is None else self._limit)

    def apply_rate(self) -> None:
        """Give the network the hash rate that the node has now; `weigh` must follow."""
        mines = self._lab.mines and self._state == "running"
        self._lab.network.nodes[self._index].rate = self._limit if mines else 0.0

    def mine(self, blocks: int = 1) -> None:
        self._require_running()
        if blocks < 1:
            raise LabError("A node finds at least one block.")
        if self._limit == 0:
            raise LabError(f"{self.name} finds no block: its hash rate is 0.")
        for done in range(blocks):
            if self._lab.mines:
                self._wait_for_block(done, blocks)
            else:
                self._find_one()

    def _find_one(self) -> None:
        """Search while nobody else does."""
        network = self._lab.network
        node = network.nodes[self._index]
        left = network.luck.wait()  # of an exponential time of rate 1
        while True:
            difficulty = node.tip.next_difficulty(self._lab.spec)
            tip = node.tip
            began = network.now
            network.run(until=began + left * difficulty / self._limit, stop=partial(_has_left, node, tip))
            if node.tip is tip:
                network.make(node, difficulty, network.luck.hash(difficulty))
                return
            left -= (network.now - began) * self._limit / difficulty

    def _wait_for_block(self, done: int, wanted: int) -> None:
        network = self._lab.network
        node = network.nodes[self._index]
        seen = len(network.blocks)

        def found() -> bool:
            nonlocal seen
            new, seen = network.blocks[seen:], len(network.blocks)
            return any(block.finder == self._index for block in new)

        expected = node.tip.next_difficulty(self._lab.spec) / self._limit
        found_it = False

        def stop() -> bool:
            nonlocal found_it
            found_it = found()
            return found_it

        network.run(until=network.now + _PATIENCE * expected, stop=stop)
        if not found_it:
            raise LabError(f"{self.name} found {done} of {wanted} blocks, and then no more.")

    def send(
        self,
        to: str | LabNode,
        amount: str | float,
        nonce: int | None = None,
        fee: str | float | None = None,
        at: LabNode | None = None,
    ) -> str:
        door = self if at is None else self._lab.node(at.number)
        if door.state != "running":
            raise LabError(f"{door.name} does not answer: it is {door.state}.")
        network, pools = self._lab.network, self._pools()
        recipient = to if isinstance(to, str) else to.wallet
        if not is_address(recipient):
            raise LabError(f"A payment goes to a node or an address, not to {recipient[:60]!r}.")
        units, paid = base_units(amount), LEAST_FEE if fee is None else base_units(fee)
        index = door.number - 1
        accounts = pools.accounts(network.nodes[index].tip)
        number = nonce if nonce is not None else pools.next_nonce(self._index, network.nodes[self._index].tip)
        if accounts.balances.get(self.wallet, 0) < units + paid:
            raise LabError(f"{self.name} refused the payment: its wallet has less than {coins(units + paid)} coins.")
        text = f"{self.wallet} {number} {recipient} {units} {paid}"
        payment = Payment(sha256(text.encode()).hex(), self.wallet, recipient, units, paid, number)
        if not network.pay(index, payment):
            raise LabError(f"{door.name} refused the payment: it has another one with the nonce {number}.")
        self._lab.note("payment", node=self.number, id=payment.id, to=recipient, amount=coins(units))
        return payment.id

    # --- life and death ---

    def stop(self) -> None:
        self._end("stopped")

    def kill(self) -> None:
        self._end("killed")

    def _end(self, state: NodeState) -> None:
        self._require_running()
        self._change(state)

    def start(self) -> None:
        if self._state == "running":
            raise LabError(f"{self.name} runs already.")
        self._change("running")
        self._lab.network.reconnect()

    def _change(self, state: NodeState) -> None:
        self._state = state
        self.apply_rate()
        self._lab.network.weigh()
        self._lab.network.links.set_down(self._index, state != "running")
        self._lab.note("node", node=self.number, state=state)


def _has_left(node: Node, tip: Block) -> bool:
    return node.tip is not tip


class TreeLink:
    """One direction between two nodes, given by their indices."""

    def __init__(self, lab: TreeLab, a: int, b: int) -> None:
        self._lab = lab
        self._ends = (a, b)

    @property
    def conditions(self) -> Conditions:
        return self._lab.network.links[self._ends]

    def set(self, *, latency: float | None = None, jitter: float | None = None, rate: float | None = None) -> None:
        for name, value in (("latency", latency), ("jitter", jitter), ("rate", rate)):
            if value is not None and not 0 <= value < math.inf:
                raise LabError(f"The {name} of a link cannot be {value!r}.")
        self._lab.network.links.change(*self._ends, latency=latency, jitter=jitter, rate=rate)
        self._note()

    def cut(self) -> None:
        self._lab.set_cut(*self._ends, True)
        self._note()

    def restore(self) -> None:
        self._lab.set_cut(*self._ends, False)
        self._note()

    def _note(self) -> None:
        now = self.conditions
        ends = {"from": self._ends[0] + 1, "to": self._ends[1] + 1}
        self._lab.note("link", **ends, latency=now.latency, jitter=now.jitter, rate=now.rate, cut=now.cut)
