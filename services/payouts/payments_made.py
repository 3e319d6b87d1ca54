"""What the chain shows as paid for blocks. It is asked for blocks that were restored from a backup (sharing.py)."""

from collections.abc import Mapping
from typing import Any, Final

from services.node import Node
from services.store.payouts import PAYMENT_DATA, Payment
from services.store.records import Tip

_PAGE: Final = 500  # of the account's history


class PaymentsMade:
    """The payments of one address, by the block that they pay for."""

    def __init__(self, node: Node, address: str) -> None:
        self._node = node
        self._address = address
        # Hash of a tip, a height, and the payments on that chain above it (`_above`).
        self._found: tuple[str, int, dict[str, dict[str, Payment]]] = "", 0, {}

    def of(self, block: str, height: int, tip: Tip) -> Mapping[str, Payment] | None:
        """The payments for a block of this height, by recipient. None: that cannot be known, since a release that kept
        nothing of bodies for payouts has pruned them.

        Args:
            tip: of the chain.

        Raises:
            Pruned: bodies were pruned while they were read.
        """
        kept_from = self._node.chain.kept_from()
        known, lowest, found = self._found
        if known != tip.hash or lowest > height:
            found = self._above(max(height, kept_from - 1))
            self._found = tip.hash, height, found
        if height >= kept_from:
            return found.get(block, {})
        # Blocks are pruned from the lowest on, so where the reward was kept, the payments above it were, too.
        remains = self._node.payouts.remains(block)
        if remains.reward is None:
            return None
        gone = {recipient: self._payment(fields) for recipient, fields in remains.payments.items()}
        return {**gone, **found.get(block, {})}

    def _above(self, height: int) -> dict[str, dict[str, Payment]]:
        """The payments in blocks above a height: by the block that they pay for, and recipient."""
        chain = self._node.chain
        found: dict[str, dict[str, Payment]] = {}
        seen = 0
        while page := chain.history(self._address, newest=seen, limit=_PAGE):
            for at, position in page:
                if at <= height:
                    return found
                block = chain.hash_at(at) if position else None  # the first transaction is a reward
                if block is None:
                    continue
                for fields in chain.block_object(block)["transactions"][position : position + 1]:
                    data = fields.get("data", "")
                    if fields["sender"] == self._address and data.startswith(PAYMENT_DATA):
                        paid_for = found.setdefault(data.removeprefix(PAYMENT_DATA), {})
                        paid_for[fields["recipient"]] = self._payment(fields)
            seen += len(page)
        return found

    def _payment(self, fields: dict[str, Any]) -> Payment:
        read = self._node.rules.read_request(fields)
        return Payment(read.id, read.nonce, fields)
