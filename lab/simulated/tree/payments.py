"""Payments in the tree: who pays whom, which block holds which payment, and what waits at each node.

Nothing is signed. What is kept is what scenarios look at: balances, nonces in sequence, conflicts, fees, and that a
payment whose block is undone waits again, unless the new branch has another one with its nonce.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lab.simulated.tree.blocks import Block, branch, common_ancestor
from shared.chain_spec import ChainSpec


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment. Amounts in base units."""

    id: str
    sender: str
    to: str
    amount: int
    fee: int
    nonce: int


@dataclass(slots=True)
class Accounts:
    """Balances and next nonces after a block. Not changed once it is made."""

    balances: dict[str, int]
    nonces: dict[str, int]

    def can_pay(self, payment: Payment) -> bool:
        """Whether the payment may come next."""
        return (
            self.nonces.get(payment.sender, 0) == payment.nonce
            and self.balances.get(payment.sender, 0) >= payment.amount + payment.fee
        )

    def pay(self, payment: Payment) -> None:
        balances = self.balances
        balances[payment.sender] = balances.get(payment.sender, 0) - payment.amount - payment.fee
        balances[payment.to] = balances.get(payment.to, 0) + payment.amount
        self.nonces[payment.sender] = payment.nonce + 1


class Pools:
    """All payments of a network, and each node's mempool."""

    def __init__(self, spec: ChainSpec, wallets: list[str]) -> None:
        self._spec = spec
        self._wallets = wallets
        self._accounts: dict[Block, Accounts] = {}
        self.all: dict[str, Payment] = {}
        self.waiting: list[dict[str, Payment]] = [{} for _ in wallets]  # for each node: by id, the oldest first

    def accounts(self, block: Block) -> Accounts:
        """Balances and nonces after a block."""
        ancestors = []
        for each in block.ancestors():
            if each in self._accounts:
                break
            ancestors.append(each)
        for each in reversed(ancestors):
            before = (
                self._accounts[each.parent] if each.parent is not None else Accounts(dict(self._spec.allocations), {})
            )
            after = Accounts(dict(before.balances), dict(before.nonces))
            for identifier in each.payments:
                after.pay(self.all[identifier])
            if each.finder is not None:
                miner = self._wallets[each.finder]
                after.balances[miner] = after.balances.get(miner, 0) + self._spec.reward + each.fees
            self._accounts[each] = after
        return self._accounts[block]

    def next_nonce(self, index: int, tip: Block) -> int:
        """The nonce after all payments of the node's wallet that the node knows."""
        wallet = self._wallets[index]
        waiting = [payment.nonce + 1 for payment in self.waiting[index].values() if payment.sender == wallet]
        return max([self.accounts(tip).nonces.get(wallet, 0), *waiting])

    def receive(self, index: int, payment: Payment, tip: Block) -> bool:
        """Put a payment into a node's mempool. Of two with one nonce the higher fee stays, else the first.

        Returns:
            Whether the node keeps it. It does not if its branch has a payment with this nonce.
        """
        pool = self.waiting[index]
        if payment.id in pool or self.accounts(tip).nonces.get(payment.sender, 0) > payment.nonce:
            return False
        for other in pool.values():
            if other.sender == payment.sender and other.nonce == payment.nonce:
                if other.fee >= payment.fee:
                    return False
                del pool[other.id]
                break
        pool[payment.id] = payment
        return True

    def moved(self, index: int, old: Block, new: Block) -> None:
        """A node's tip has moved: payments of detached blocks wait again, those of attached ones do not."""
        pool = self.waiting[index]
        if new.parent is not old:
            ancestor = common_ancestor(old, new)
            for block in branch(ancestor, old):
                for identifier in block.payments:
                    pool.setdefault(identifier, self.all[identifier])
        if pool:
            nonces = self.accounts(new).nonces
            for payment in list(pool.values()):
                if payment.nonce < nonces.get(payment.sender, 0):
                    del pool[payment.id]

    def choose(self, index: int, tip: Block, takes: Callable[[str], bool] | None) -> tuple[tuple[str, ...], int]:
        """What the node's next block holds: the best fees first, each sender's nonces in sequence; and the fees."""
        pool = self.waiting[index]
        if not pool:
            return (), 0
        before = self.accounts(tip)
        accounts = Accounts(dict(before.balances), dict(before.nonces))
        waiting = sorted(pool.values(), key=lambda payment: -payment.fee)
        chosen: list[Payment] = []
        room = self._spec.max_block_transactions - 1
        found = True
        while found and len(chosen) < room:
            found = False
            for payment in waiting:
                if accounts.can_pay(payment) and (takes is None or takes(payment.id)):
                    accounts.pay(payment)
                    chosen.append(payment)
                    waiting.remove(payment)
                    found = True
                    break
        return tuple(payment.id for payment in chosen), sum(payment.fee for payment in chosen)
