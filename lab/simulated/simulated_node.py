"""One node of a simulated lab, as scenarios see it."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from lab.interface import LabBlock, LabError, LabNode, NodeState
from lab.simulated.lab_network import NETWORK_HASH_RATE, LabNetwork
from lab.simulated.mining_node import STOPPING, MiningNode
from lab.units import base_units, coins, hashes_per_second
from lab.wallets import payment, wallet_key
from shared.ledger import NO_ACCOUNT

if TYPE_CHECKING:
    from lab.simulated.lab import SimulatedLab

# Virtual seconds for a block that a node was told to find: times its expected time, and at least.
_PATIENCE, _LEAST = 50.0, 60.0


class SimulatedNode:
    """Reads are of what the node has stored, and take no time."""

    def __init__(self, lab: SimulatedLab, network: LabNetwork, member: MiningNode) -> None:
        self.number = member.number
        self.name = f"node {member.number}"
        self._lab = lab
        self._network = network
        self._member = member
        self._key = wallet_key(member.number)

    @property
    def state(self) -> NodeState:
        return self._member.state

    @property
    def wallet(self) -> str:
        return self._key.address

    def _require_running(self) -> None:
        if not self._member.running:
            raise LabError(f"{self.name} does not answer: it is {self.state}.")

    # --- what it has ---

    def tip(self) -> LabBlock:
        self._require_running()
        return self._network.described(self._member.checker.tip)

    def balance(self, address: str) -> int:
        self._require_running()
        return self._member.checker.tip.replay.accounts.get(address, NO_ACCOUNT).balance

    def depth(self, transaction: str) -> int | None:
        self._require_running()
        checker = self._member.checker
        place = checker.tip.places.get(transaction)
        if place is not None:
            return checker.tip.block.index - int(place.partition(":")[0]) + 1
        return 0 if transaction.encode() in self._member.raw.hgetall(checker.keys.entries) else None

    # --- what it does ---

    def limit(self, hash_rate: str | float | None) -> None:
        share = NETWORK_HASH_RATE / len(self._network.members)
        self._member.hash_rate = share if hash_rate is None else hashes_per_second(hash_rate)
        noted = None if hash_rate is None else self._member.hash_rate
        self._network.note("limit", node=self.number, hash_rate=noted)
        self._network.scheduler.ring(self._member.bell)

    def mine(self, blocks: int = 1) -> None:
        self._require_running()
        if blocks < 1:
            raise LabError("A node finds at least one block.")
        member = self._member
        if member.hash_rate == 0:
            raise LabError(f"{self.name} finds no block: its hash rate is 0.")
        member.wanted = blocks
        self._network.scheduler.ring(member.bell)
        expected = member.checker.tip.block.header.difficulty / member.hash_rate
        within = max(_LEAST, _PATIENCE * expected) * blocks
        found = self._lab.advance(within, lambda: member.wanted == 0 or not member.running)
        left, member.wanted = member.wanted, 0
        if not found or left:
            raise LabError(f"{self.name} found {blocks - left} of {blocks} blocks, and then no more.")

    def next_nonce(self) -> int:
        return self._nonce_of(self.wallet)

    def _nonce_after(self, payer: SimulatedNode) -> int:
        """The next nonce of another node's wallet, as far as this node and the other one know."""
        here = self._nonce_of(payer.wallet)
        return max(here, payer.next_nonce()) if payer._member.running else here

    def _nonce_of(self, address: str) -> int:
        self._require_running()
        member = self._member
        account = member.checker.tip.replay.accounts.get(address, NO_ACCOUNT)
        waiting = member.raw.hgetall(member.checker.keys.sender(address)).get(b"next", b"0")
        return max(account.nonce, int(waiting))

    def send(
        self,
        to: str | LabNode,
        amount: str | float,
        nonce: int | None = None,
        fee: str | float | None = None,
        at: LabNode | None = None,
    ) -> str:
        receiver = self if at is None else at
        assert isinstance(receiver, SimulatedNode), "all nodes are of one lab"
        receiver._require_running()
        recipient = to if isinstance(to, str) else to.wallet
        units = base_units(amount)
        fields = payment(
            self._network.plan.spec,
            self._key,
            to=recipient,
            amount=units,
            nonce=receiver._nonce_after(self) if nonce is None else nonce,
            fee=self._member.settings.min_fee if fee is None else base_units(fee),
        )
        body = json.dumps(fields).encode()
        identifier = self._lab.do(f"a payment from {self.name}", partial(receiver._post, body))
        self._network.note("payment", node=self.number, id=identifier, to=recipient, amount=coins(units))
        return identifier

    def _post(self, body: bytes) -> str:
        answer = self._network.serve(self._member.url, "POST", "/transactions/new", body)
        if answer is None:
            raise LabError(f"{self.name} does not answer.")
        status, text = answer
        found = json.loads(text)
        if not 200 <= status < 300:
            raise LabError(f"{self.name} refused the payment: {found.get('detail') or found}")
        return str(found["id"])

    # --- life and death ---

    def stop(self) -> None:
        self._require_running()
        member = self._member
        member.state = "stopped"  # it takes no more requests and jobs
        self._network.scheduler.ring(member.bell)
        self._lab.advance(STOPPING, lambda: not member.busy)
        member.end("stopped")
        self._note()

    def kill(self) -> None:
        self._require_running()
        self._member.end("killed")
        self._note()

    def start(self) -> None:
        if self._member.running:
            raise LabError(f"{self.name} runs already.")
        self._member.start()
        self._note()
        self._lab.advance(STOPPING, lambda: self._member.begun)

    def _note(self) -> None:
        self._network.note("node", node=self.number, state=self.state)
