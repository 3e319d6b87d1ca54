"""Methods about transactions: sending raw ones, looking them up, and their receipts."""

from threading import BoundedSemaphore
from typing import Any

from api.rpc.errors import REFUSED, RpcError, reverted, to_nobody
from api.rpc.method_table import method
from api.rpc.quantity import quantity, read_data, read_quantity
from api.rpc.representations import LOG_BYTES, represent_mined, represent_pending, represent_receipt
from api.rpc.waiting import place, wait_for
from api.serving.budget import reserve
from services.node import Node
from services.token.receipts import Executed, WalletBlock, raw_of
from shared.canonical import canonical
from shared.errors import RuleError
from shared.ethereum import decode_raw, interpret
from shared.transaction import Transaction

# A request for a receipt looks again at most 25 times, every 10 ms. It holds a thread, so at most 16 of them do so in a
# process.
_LOOKS, _PAUSE, _HOLDERS = 25, 0.01, 16
_holders = BoundedSemaphore(_HOLDERS)
ALREADY_KNOWN = "already known"


# Seconds that eth_sendRawTransactionSync waits for the block: unless the client says otherwise (as EIP-7966
# recommends), and at most.
_SYNC_SECONDS, _MOST_SYNC_SECONDS = 2.0, 30.0
# Codes of EIP-7966.
_TIMED_OUT, _GAP = 4, 6


@method("eth_sendRawTransaction", 1)
def send_raw(node: Node, raw: Any) -> str:
    return f"0x{submit(node, read_raw(node, read_data(raw, 'transaction')))}"


def read_raw(node: Node, text: bytes) -> Transaction:
    """The transaction of raw bytes. Raises: RuleError, RpcError."""
    try:
        return node.rules.read_raw(text)
    except RuleError as error:
        if error.code == "bad_recipient":
            raw = decode_raw(text)
            call = interpret(raw, node.settings.spec.token.address)
            if raw.input:  # a token call, which would revert
                raise to_nobody(call.type, call.recipient) from None
        raise


def submit(node: Node, transaction: Transaction, *, replaces: bool = True) -> str:
    """Admit a transaction, and return its id.

    Args:
        replaces: whether it may take the place of one that waits (`Mempool.admit_many`).

    Raises:
        NodeError, RpcError: the refusal, in geth's words where geth has them.
    """
    try:
        admitted = node.submit_one(transaction, replaces=replaces)
    except RuleError as error:
        raise _explained(node, transaction, error) from None
    if admitted.block:  # it was mined before; geth's words
        raise RpcError(REFUSED, "nonce too low")
    if not admitted.new:
        raise RpcError(REFUSED, ALREADY_KNOWN)
    return transaction.id


def _explained(node: Node, transaction: Transaction, error: RuleError) -> Exception:
    """The error for a refused transaction: a token call that would fail reverts, as on Ethereum."""
    raw = raw_of(transaction)
    if error.code != "insufficient_funds" or raw is None or not raw.input:
        return error
    # The ledger checks amount and fee together. On Ethereum the sender pays for gas first, and then the call fails.
    if node.chain.account(transaction.sender).balance < transaction.fee:
        return error
    return reverted("ERC20: transfer amount exceeds balance")


@method("eth_sendRawTransactionSync", 1, 2)
def send_raw_sync(node: Node, raw: Any, timeout: Any = None) -> dict[str, Any]:
    """Send a raw transaction and wait for its receipt (EIP-7966). `timeout`: milliseconds."""
    seconds = read_timeout(timeout)
    transaction = read_raw(node, read_data(raw, "transaction"))
    with place():
        expected = max(node.chain.account(transaction.sender).nonce, node.pool.next_nonce(transaction.sender) or 0)
        if transaction.nonce > expected:
            raise RpcError(
                _GAP,
                "The transaction was rejected due to a nonce gap. Please resubmit with the next on-chain nonce.",
                quantity(expected),
            )
        after = node.mining.events.last()
        return awaited_receipt(node, submit(node, transaction), after, seconds)


def read_timeout(timeout: Any) -> float:
    """Seconds, of milliseconds from a client. None and 0 mean the usual time. Raises: RpcError."""
    milliseconds = 0 if timeout is None else read_quantity(timeout, "timeout")
    return min(milliseconds / 1000, _MOST_SYNC_SECONDS) if milliseconds else _SYNC_SECONDS


def awaited_receipt(node: Node, identifier: str, after: str, seconds: float) -> dict[str, Any]:
    """The receipt of a transaction that was just sent, once a block holds it.

    Args:
        after: the last event before it was sent.

    Raises:
        RpcError: no block held it in time. It still waits.
    """
    found = wait_for(node, lambda: _mined(node, identifier), after, seconds)
    if found is None:
        raise RpcError(
            _TIMED_OUT,
            f"The transaction was added to the transaction pool but wasn't processed in {seconds:g}s",
            f"0x{identifier}",
        )
    return represent_receipt(*found, node.settings.spec)


@method("eth_getTransactionByHash", 1)
def by_hash(node: Node, value: Any) -> Any:
    identifier = read_data(value, "hash", 32).hex()
    # Twice: meanwhile the transaction may move to a place that was already looked at.
    for _ in range(2):
        found = _mined(node, identifier)
        if found is not None:
            return represent_mined(*found, node.settings.spec)
        entry = node.pool.entry(identifier)
        fields = node.chain.returning(identifier) if entry is None else entry.fields()
        if fields is not None:
            transaction = node.rules.recall(canonical(fields), identifier, fields["nonce"])
            return represent_pending(transaction, node.settings.spec)
    return None


@method("eth_getTransactionReceipt", 1)
def receipt(node: Node, value: Any) -> Any:
    identifier = read_data(value, "hash", 32).hex()
    # At the end again: a block may have taken it from the mempool between the two.
    found = _mined(node, identifier) or _awaited(node, identifier) or _mined(node, identifier)
    if found is None:
        return None
    executed, block = found
    reserve(LOG_BYTES * len(executed.events))  # a reward has as many as the block has accounts that pay fees
    return represent_receipt(executed, block, node.settings.spec)


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
    if location is None:
        return _allocating(node, identifier)
    stored = node.chain.header(location.block_hash)
    if stored is None:
        return None
    block = node.wallet_blocks.block(stored)
    return block.transactions[location.position], block


def _allocating(node: Node, identifier: str) -> tuple[Executed, WalletBlock] | None:
    """The transaction of block 0, if that is its id."""
    block = node.wallet_blocks.spec_block
    (executed,) = block.transactions
    return (executed, block) if executed.transaction.id == identifier else None
