"""Keys with coins, and transactions signed by them, prepared before the measurement."""

from typing import Any

from benchmarks.node import BenchNode
from shared.amounts import format_amount
from shared.keys import KeyPair
from shared.transaction import sign

BATCH = 500


class Wallets:
    """Senders on one node, funded by the node's reward key. Their nonces ascend over all calls of `transfers`."""

    def __init__(self, node: BenchNode, count: int) -> None:
        self._node = node
        self._chain_id = node.get("/spec")["chain_id"]
        self.keys = [KeyPair((1000 + i).to_bytes(32, "big")) for i in range(count)]
        self._nonces = [0] * count
        self._fund()

    def _fund(self) -> None:
        node = self._node
        node.mine()
        nonce = node.get(f"/accounts/{node.key.address}")["pending_nonce"]
        payments = [self._transfer(node.key, nonce + i, key.address, 10**15) for i, key in enumerate(self.keys)]
        for start in range(0, len(payments), BATCH):
            answer = node.post("/transactions/batch", {"transactions": payments[start : start + BATCH]})
            if answer["accepted"] != len(payments[start : start + BATCH]):
                raise RuntimeError(f"the payments were refused: {answer['results'][0]}")
        self.drain()

    def drain(self) -> None:
        """Mine until the mempool is empty."""
        while self._node.get("/mempool?limit=1")["size"]:
            self._node.mine()

    def transfers(self, lanes: int, count: int) -> list[list[dict[str, Any]]]:
        """`count` signed transfers, the senders in turn. All of one sender are in one lane, with ascending nonces."""
        queues: list[list[dict[str, Any]]] = [[] for _ in range(lanes)]
        for i in range(count):
            sender = i % len(self.keys)
            recipient = self.keys[(sender + 1) % len(self.keys)].address
            item = self._transfer(self.keys[sender], self._nonces[sender], recipient, 1)
            self._nonces[sender] += 1
            queues[sender % lanes].append(item)
        return queues

    def _transfer(self, key: KeyPair, nonce: int, recipient: str, units: int) -> dict[str, Any]:
        fields = {"type": "transfer", "chain_id": self._chain_id, "nonce": nonce, "sender": key.address}
        return sign({**fields, "recipient": recipient, "amount": format_amount(units), "fee": "0"}, key)
