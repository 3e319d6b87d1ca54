"""Methods about the chain: its id, its length, fees, and its blocks."""

from typing import Any

from api.rpc.caller import may_control
from api.rpc.errors import invalid_params
from api.rpc.method_table import METHODS, method
from api.rpc.quantity import data, quantity, read_data, read_quantity
from api.rpc.representations import (
    LOG_BYTES,
    gas_limit,
    represent_block,
    represent_header,
    represent_mined,
    represent_pending,
    represent_pending_block,
    represent_receipt,
)
from api.rpc.tags import find_block, find_by_hash, first_within, is_pending
from api.serving.budget import reserve
from services.development.accounts import unlocked_accounts
from services.node import Node
from services.store.records import StoredHeader
from services.system.about import VERSION
from shared.ethereum import GAS
from shared.hashing import keccak256
from shared.transaction import Transaction

_GWEI = 10**9
# Limits of a fee history: blocks, as in geth, and transactions, which take about a second.
_MAX_HISTORY = 1024
_MAX_TRANSACTIONS = 10_000
_MAX_PERCENTILES = 100
_PERCENTILE_BYTES = 150
# Memory that a block takes while an answer is made of it, as a multiple of its own bytes: as objects with every field
# that wallets want, and as text (measured: tests/integration/http/test_large_answers.py).
_PER_BYTE = 20
# The most transactions of the pending block that are shown.
_MAX_PENDING = 500


@method("eth_chainId")
def chain_id(node: Node) -> str:
    return quantity(node.settings.spec.chain_id)


@method("net_version")
def network(node: Node) -> str:
    return str(node.settings.spec.chain_id)


@method("net_listening")
def listening(node: Node) -> bool:
    return True


@method("eth_mining")
def is_mining(node: Node) -> bool:
    return node.overview().round is not None


@method("eth_hashrate")
def hash_rate(node: Node) -> str:
    """Hashes per second of the workers that search the open round, as pages and `/status` show it; 0 without one."""
    figures = node.overview().figures
    return quantity(0 if figures is None else figures.rate)


@method("web3_clientVersion")
def client_version(node: Node) -> str:
    """The name of this program; where it has anvil's control methods, after a word that says so.

    hardhat-network-helpers refuse every node whose version does not begin with the name of one that they know.
    """
    name = f"Quarry/v{VERSION}/python"
    return f"anvil-compatible {name}" if may_control(node.settings, None) else name


@method("web3_sha3", 1)
def keccak(node: Node, value: Any) -> str:
    """Keccak-256 of the bytes, not the SHA-3 that was standardised later."""
    return data(keccak256(read_data(value)))


@method("rpc_modules", told=True)
def modules(node: Node, controls: bool) -> dict[str, str]:
    """The groups of the methods that the caller has."""
    names = (name for name, known in METHODS.items() if controls or not known.controls)
    return dict.fromkeys(sorted({name.partition("_")[0] for name in names}), "1.0")


@method("eth_syncing")
def syncing(node: Node) -> bool:
    return False


@method("eth_accounts", told=True)
@method("eth_requestAccounts", told=True)
def accounts(node: Node, controls: bool) -> list[str]:
    """The accounts that the node signs for. Without control it signs nothing, so there are none."""
    return unlocked_accounts(node.settings).addresses if controls else []


@method("eth_blockNumber")
def block_number(node: Node) -> str:
    return quantity(node.chain.tip().height)


def suggested_price(node: Node) -> int:
    """A gas price, in wei, that this node admits: at least one gwei, so a replacement can cost a tenth more."""
    return max(_GWEI, -(-node.settings.min_fee // GAS["transfer"]))


@method("eth_gasPrice")
def gas_price(node: Node) -> str:
    return quantity(suggested_price(node))


@method("eth_maxPriorityFeePerGas")
def max_priority_fee(node: Node) -> str:
    return quantity(suggested_price(node))


@method("eth_feeHistory", 2, 3)
def fee_history(node: Node, count: Any, newest: Any, percentiles: Any = None) -> dict[str, Any]:
    wanted = min(read_quantity(count, "block count"), _MAX_HISTORY)
    ranks = [] if percentiles is None else percentiles
    if not isinstance(ranks, list) or len(ranks) > _MAX_PERCENTILES or not all(_is_percentile(rank) for rank in ranks):
        raise invalid_params("percentiles is a list of numbers from 0 to 100")
    if ranks != sorted(ranks):
        raise invalid_params("percentiles must ascend")
    last = find_block(node, newest)
    if last is None:
        raise invalid_params("request beyond head block")
    reserve(_PERCENTILE_BYTES * wanted * len(ranks))
    lowest = max(0, last.header.index - wanted + 1)
    newest_first = node.wallet_blocks.headers(lowest, last.header.index - lowest + 1)[::-1]
    headers = first_within(_MAX_TRANSACTIONS, newest_first)[::-1]  # clients accept fewer blocks than they asked for
    first = headers[0].header.index if headers else last.header.index + 1
    ratios, rewards = [], []
    for stored in headers:
        block = node.wallet_blocks.block(stored)
        ratios.append(block.gas_used / gas_limit(node.settings.spec.at(stored.header.index)))
        prices = sorted(item.gas_price for item in block.transactions[1:]) or [suggested_price(node)]
        rewards.append([quantity(prices[int(rank / 100 * (len(prices) - 1))]) for rank in ranks])
    return {
        "oldestBlock": quantity(first),
        "baseFeePerGas": ["0x0"] * (len(headers) + 1),
        "gasUsedRatio": ratios,
        "reward": rewards,
    }


def _is_percentile(rank: Any) -> bool:
    return type(rank) in (int, float) and 0 <= rank <= 100


@method("eth_getBlockByNumber", 1, 2)
def block_by_number(node: Node, tag: Any, whole: Any = False) -> Any:
    stored = find_block(node, tag)
    if stored is not None and is_pending(tag):
        return _pending(node, stored, whole=_is_whole(whole))
    return _block(node, stored, whole)


def _pending(node: Node, tip: StoredHeader, *, whole: bool) -> dict[str, Any]:
    timestamp = node.chain_clock.following()
    return represent_pending_block(tip, _waiting(node), node.settings.spec, timestamp=timestamp, whole=whole)


def _waiting(node: Node) -> list[Transaction]:
    """The transactions that would go into a block first, one page at most."""
    page = next(node.pool.by_fee(_MAX_PENDING), [])
    return [node.rules.recall(entry.text, entry.id, entry.nonce) for entry in page]


@method("eth_getBlockByHash", 1, 2)
def block_by_hash(node: Node, value: Any, whole: Any = False) -> Any:
    return _block(node, find_by_hash(node, value), whole)


def _block(node: Node, stored: StoredHeader | None, whole: Any) -> Any:
    is_whole = _is_whole(whole)
    if stored is None:
        return None
    reserve(_PER_BYTE * stored.size)
    return represent_block(node.wallet_blocks.block(stored), node.settings.spec, whole=is_whole)


@method("eth_getHeaderByNumber", 1)
def header_by_number(node: Node, tag: Any) -> Any:
    stored = find_block(node, tag)
    if stored is not None and is_pending(tag):
        return represent_header(_pending(node, stored, whole=False))
    return _header(node, stored)


@method("eth_getHeaderByHash", 1)
def header_by_hash(node: Node, value: Any) -> Any:
    return _header(node, find_by_hash(node, value))


def _header(node: Node, stored: StoredHeader | None) -> Any:
    block = _block(node, stored, False)
    return None if block is None else represent_header(block)


def _is_whole(value: Any) -> bool:
    if type(value) is not bool:
        raise invalid_params("the second parameter says whether transactions are shown whole")
    return value


@method("eth_getBlockTransactionCountByNumber", 1)
def count_by_number(node: Node, tag: Any) -> Any:
    if is_pending(tag):
        return quantity(len(_waiting(node)))
    stored = find_block(node, tag)
    return None if stored is None else quantity(stored.transactions)


@method("eth_getBlockTransactionCountByHash", 1)
def count_by_hash(node: Node, value: Any) -> Any:
    stored = find_by_hash(node, value)
    return None if stored is None else quantity(stored.transactions)


@method("eth_getTransactionByBlockNumberAndIndex", 2)
def transaction_by_number(node: Node, tag: Any, index: Any) -> Any:
    if is_pending(tag):
        found = _waiting(node)[read_quantity(index, "index") :][:1]
        return represent_pending(found[0], node.settings.spec) if found else None
    return _transaction(node, find_block(node, tag), index)


@method("eth_getTransactionByBlockHashAndIndex", 2)
def transaction_by_hash(node: Node, value: Any, index: Any) -> Any:
    return _transaction(node, find_by_hash(node, value), index)


def _transaction(node: Node, stored: StoredHeader | None, index: Any) -> Any:
    position = read_quantity(index, "index")
    if stored is None:
        return None
    block = node.wallet_blocks.block(stored)
    if position >= len(block.transactions):
        return None
    return represent_mined(block.transactions[position], block, node.settings.spec)


@method("eth_getUncleCountByBlockNumber", 1)
def uncles_by_number(node: Node, tag: Any) -> Any:
    return None if find_block(node, tag) is None else "0x0"


@method("eth_getUncleCountByBlockHash", 1)
def uncles_by_hash(node: Node, value: Any) -> Any:
    return None if find_by_hash(node, value) is None else "0x0"


@method("eth_getBlockReceipts", 1)
def block_receipts(node: Node, tag: Any) -> Any:
    by_hash = isinstance(tag, str) and len(tag) == 66
    stored = find_by_hash(node, tag) if by_hash else find_block(node, tag)
    if stored is None:
        return None
    reserve(_PER_BYTE * stored.size)
    block = node.wallet_blocks.block(stored)
    if block.transactions:  # the first one's events may be as many as all others together
        reserve(LOG_BYTES * len(block.transactions[0].events))
    return [represent_receipt(item, block, node.settings.spec) for item in block.transactions]
