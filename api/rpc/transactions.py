"""Methods about transactions: sending raw ones, looking them up, and their receipts."""

from threading import BoundedSemaphore
from typing import Any

from api.rpc.errors import REFUSED, RpcError, reverted, to_nobody
from api.rpc.method_table import method
from api.rpc.quantity import read_data
from api.rpc.representations import represent_mined, represent_pending, represent_receipt
from services.node import Node
from services.token.receipts import Executed, WalletBlock, raw_of
from shared.errors import RuleError
from shared.ethereum import decode_raw, interpret
from shared.transaction import Transaction

# A request for a receipt looks again at most 25 times, every 10 ms. It holds a thread, so at most 16 of them do so in a
# process.
_LOOKS, _PAUSE, _HOLDERS = 25, 0.01, 16
_holders = BoundedSemaphore(_HOLDERS)


@method("eth_sendRawTransaction", 1)
def send_raw(node: Node, raw: Any) -> str:
    text = read_data(raw, "transaction")
    try:
        transaction = node.rules.read_raw(text)
    except RuleError as error:
        if error.code == "bad_recipient":
            raw = decode_raw(text)
            call = interpret(raw, node.settings.spec.token.address)
            if raw.input:  # a token call, which would revert
                raise to_nobody(call.type, call.recipient) from None
        raise
    try:
        admitted = node.submit_one(transaction)
    except RuleError as error:
        raise _explained(node, transaction, error) from None
    if admitted.block:  # it was mined before; geth's words
        raise RpcError(REFUSED, "nonce too low")
    if not admitted.new:
        raise RpcError(REFUSED, "already known")
    return f"0x{transaction.id}"


def _explained(node: Node, transaction: Transaction, error: RuleError) -> Exception:
    """The error for a refused transaction: a token call that would fail reverts, as on Ethereum."""
    raw = raw_of(transaction)
    if error.code != "insufficient_funds" or raw is None or not raw.input:
        return error
    # The ledger checks amount and fee together. On Ethereum the sender pays for gas first, and then the call fails.
    if node.chain.account(transaction.sender).balance < transaction.fee:
        return error
    return reverted("ERC20: transfer amount exceeds balance")


@method("eth_getTransactionByHash", 1)
def by_hash(node: Node, value: Any) -> Any:
    identifier = read_data(value, "hash", 32).hex()
    found = _mined(node, identifier)
    if found is not None:
        return represent_mined(*found, node.settings.spec)
    entry = node.pool.entry(identifier)
    fields = node.chain.returning(identifier) if entry is None else entry.fields()
    if fields is None:
        return None
    return represent_pending(node.rules.recall(fields, identifier, fields["nonce"]), node.settings.spec)


@method("eth_getTransactionReceipt", 1)
def receipt(node: Node, value: Any) -> Any:
    identifier = read_data(value, "hash", 32).hex()
    found = _mined(node, identifier) or _awaited(node, identifier)
    return None if found is None else represent_receipt(*found, node.settings.spec)


def _awaited(node: Node, identifier: str) -> tuple[Executed, WalletBlock] | None:
    """Wait briefly for a transaction in the mempool, only on a development chain with auto-mining.

    Wallets look for the receipt right after sending, and then wait for the next block. ethers misses a block that is
    mined between the two, and would wait for ever if no other block follows.
    """
    if not node.settings.spec.development or node.pool.entry(identifier) is None or not node.modes.automine():
        return None
    if not _holders.acquire(blocking=False):
        return None
    try:
        for _ in range(_LOOKS):
            node.clock.sleep(_PAUSE)
            found = _mined(node, identifier)
            if found is not None:
                return found
    finally:
        _holders.release()
    return None


def _mined(node: Node, identifier: str) -> tuple[Executed, WalletBlock] | None:
    location = node.chain.locate(identifier)
    stored = None if location is None else node.chain.header(location.block_hash)
    if location is None or stored is None:
        return None
    block = node.wallet_blocks.block(stored)
    return block.transactions[location.position], block
