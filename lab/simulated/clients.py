"""The load: users who send transactions and ask for blocks. Some are careless and some are dishonest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lab.simulated.plan import KEYS
from shared.amounts import COIN, format_amount
from shared.keys import KeyPair
from shared.ledger import Account
from shared.transaction import Transaction, read_transaction, sign

if TYPE_CHECKING:
    from lab.simulated.node import SimNode
    from lab.simulated.world import World


class Clients:
    """All users of the network."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._random = world.random
        self._sent: list[Transaction] = []
        self._next: dict[str, int] = {}

    def transact(self, node: SimNode | None = None) -> None:
        """Send something to a node, or to any."""
        node = node or self._random.choice(self._world.nodes)
        count = 1 if self._random.random() < 0.7 else self._random.randint(2, 5)
        key = self._random.choice(KEYS)
        items = [self._make(node, key, ahead) for ahead in range(count)]
        self._sent.extend(items)
        if self._sent and self._random.random() < 0.15:
            items.append(self._random.choice(self._sent))  # again, perhaps to another node
            self._world.met("transaction sent again")
        if len(items) == 1:
            self._post(node, "/transactions/new", items[0].fields)
        else:
            self._post(node, "/transactions/batch", {"transactions": [item.fields for item in items]})
        if self._random.random() < 0.1:  # a double spend: the same nonces, elsewhere
            other = self._random.choice(self._world.nodes)
            rival = self._signed(key, items[0].nonce, amount=COIN // 2, fee=self._fee(), data="rival")
            self._sent.append(rival)
            self._world.met("double spend")
            self._post(other, "/transactions/new", rival.fields)

    def mine(self, node: SimNode | None = None) -> None:
        """Ask a node for a block."""
        node = node or self._random.choice(self._world.nodes)
        answer = self._world.serve(node.url, "POST", "/mine?wait=0", None)
        if answer is not None and answer[0] == 202:
            node.checker.requests.add(json.loads(answer[1])["job"])
            node.checker.check_all()

    def resolve(self) -> None:
        """Ask a node to agree with its peers, and wait for a moment."""
        self._world.serve(self._random.choice(self._world.nodes).url, "GET", "/nodes/resolve?wait=1", None)

    def cancel(self) -> None:
        """Cancel the round that a node searches."""
        node = self._random.choice(self._world.nodes)
        opened = node.raw.get(node.checker.keys.open_round)
        if opened is not None:
            self._world.met("round cancelled")
            process = self._random.choice(node.api)
            if process.alive:
                with self._world.scheduler.acting_for(process):
                    process.node.requests.cancel(opened.decode())

    def _post(self, node: SimNode, path: str, body: Any) -> None:
        self._world.serve(node.url, "POST", path, json.dumps(body).encode())

    def _make(self, node: SimNode, key: KeyPair, ahead: int) -> Transaction:
        account = node.checker.tip.replay.accounts.get(key.address, Account())
        queued = node.raw.hgetall(node.checker.keys.sender(key.address)).get(b"next", b"0")
        nonce = max(account.nonce, int(queued)) + ahead
        style = self._random.random()
        if style < 0.15 and nonce:
            nonce -= self._random.randint(1, min(nonce, 3))  # a replacement, or too late
        elif style < 0.25:
            nonce += self._random.randint(1, 4)  # a gap
        amount = self._random.choice((0, 1, COIN // 3, COIN, 2 * COIN, 9 * COIN))
        kind = self._random.random()
        if kind < 0.12:
            return self._signed(key, nonce, type="approve", amount=amount, fee=self._fee())
        if kind < 0.3:
            owner = self._owner(node, key) or self._random.choice(KEYS).address
            return self._signed(key, nonce, type="transfer_from", owner=owner, amount=amount % COIN, fee=self._fee())
        return self._signed(key, nonce, amount=amount, fee=self._fee())

    def _owner(self, node: SimNode, key: KeyPair) -> str | None:
        """An account that has approved `key`."""
        allowances = node.checker.tip.replay.allowances
        return next((owner for owner, spender in sorted(allowances) if spender == key.address), None)

    def _fee(self) -> int:
        return self._random.choice((0, 1, 10, 11, 100, 10**6))

    def _signed(self, key: KeyPair, nonce: int, *, amount: int, fee: int, **fields: Any) -> Transaction:
        unsigned = {
            "type": "transfer",
            "chain_id": self._world.plan.spec.chain_id,
            "nonce": nonce,
            "sender": key.address,
            "recipient": self._random.choice(KEYS).address,
            "amount": format_amount(amount),
            "fee": format_amount(fee),
        }
        return read_transaction(sign({**unsigned, **fields}, key))
