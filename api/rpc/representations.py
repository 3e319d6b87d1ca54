"""Representations of blocks, transactions, receipts and logs in JSON-RPC.

Fields that have no meaning on this chain have Ethereum's empty value.
"""

from collections.abc import Sequence
from typing import Any

from api.rpc.quantity import data, quantity
from services.store.records import StoredHeader
from services.token.receipts import Executed, TokenEvent, WalletBlock, call_data_of, gas_of, log_of, raw_of
from shared import erc20
from shared.addresses import ZERO_ADDRESS
from shared.chain_spec import ChainSpec
from shared.ethereum import RawTransaction
from shared.transaction import Transaction

# Keccak-256 of the RLP of an empty list, and the root of an empty trie.
_NO_UNCLES = "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347"
_EMPTY_TRIE = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
_ZERO_WORD = "0x" + "00" * 32
# Memory that an event takes while an answer is made of it.
LOG_BYTES = 4_000
# No transaction costs more gas: each type has a fixed cost.
_GAS_PER_TRANSACTION = 70_000


def gas_limit(spec: ChainSpec) -> int:
    """An upper bound of the gas that a block can use."""
    return spec.max_block_transactions * _GAS_PER_TRANSACTION


def represent_block(block: WalletBlock, spec: ChainSpec, *, whole: bool) -> dict[str, Any]:
    """A block on the chain, with whole transactions or only their hashes."""
    header = block.stored.header
    first = block.transactions[0].transaction if block.transactions else None
    miner = first.recipient if first is not None and first.type == "reward" else ZERO_ADDRESS
    return {
        "number": quantity(header.index),
        "hash": f"0x{header.hash}",
        "parentHash": f"0x{header.previous_hash}",
        "sha3Uncles": _NO_UNCLES,
        "logsBloom": data(block.bloom),
        "transactionsRoot": f"0x{header.transactions_root}",
        "stateRoot": _ZERO_WORD,
        "receiptsRoot": _EMPTY_TRIE,
        "miner": miner,
        "difficulty": quantity(header.difficulty),
        "totalDifficulty": quantity(block.stored.chainwork),
        "extraData": "0x",
        "size": quantity(block.stored.size),
        "gasLimit": quantity(gas_limit(spec.at(header.index))),
        "gasUsed": quantity(block.gas_used),
        "timestamp": quantity(int(header.timestamp)),
        "nonce": data(header.proof.to_bytes(8, "big")),
        "mixHash": _ZERO_WORD,
        "baseFeePerGas": "0x0",
        "uncles": [],
        "transactions": [
            represent_mined(item, block, spec) if whole else f"0x{item.transaction.id}" for item in block.transactions
        ],
    }


# What a header does not have of its block.
_BODY = frozenset({"size", "totalDifficulty", "uncles", "transactions"})


def represent_header(block: dict[str, Any]) -> dict[str, Any]:
    """The header of a represented block, as geth shows it."""
    return {name: value for name, value in block.items() if name not in _BODY}


def represent_pending_block(
    tip: StoredHeader, waiting: Sequence[Transaction], spec: ChainSpec, *, timestamp: int, whole: bool
) -> dict[str, Any]:
    """The pending block: the one after `tip`, with `waiting`. Fields that its miner and its proof decide are null."""
    return {
        "number": quantity(tip.header.index + 1),
        "hash": None,
        "parentHash": f"0x{tip.header.hash}",
        "sha3Uncles": _NO_UNCLES,
        "logsBloom": data(erc20.bloom(log_of(item, spec) for item in waiting)),
        "transactionsRoot": _EMPTY_TRIE,
        "stateRoot": _ZERO_WORD,
        "receiptsRoot": _EMPTY_TRIE,
        "miner": None,
        "difficulty": quantity(tip.header.difficulty),
        "totalDifficulty": None,
        "extraData": "0x",
        "size": "0x0",
        "gasLimit": quantity(gas_limit(spec.at(tip.header.index + 1))),
        "gasUsed": "0x0",
        "timestamp": quantity(timestamp),
        "nonce": None,
        "mixHash": _ZERO_WORD,
        "baseFeePerGas": "0x0",
        "uncles": [],
        "transactions": [represent_pending(item, spec) if whole else f"0x{item.id}" for item in waiting],
    }


def represent_mined(item: Executed, block: WalletBlock, spec: ChainSpec) -> dict[str, Any]:
    """A transaction on the chain."""
    return {
        **represent_transaction(item.transaction, item.raw, spec),
        "blockHash": f"0x{block.stored.header.hash}",
        "blockNumber": quantity(block.stored.header.index),
        "blockTimestamp": quantity(int(block.stored.header.timestamp)),
        "transactionIndex": quantity(item.position),
    }


def represent_pending(transaction: Transaction, spec: ChainSpec) -> dict[str, Any]:
    """A transaction in the mempool."""
    return {
        **represent_transaction(transaction, raw_of(transaction), spec),
        "blockHash": None,
        "blockNumber": None,
        "blockTimestamp": None,
        "transactionIndex": None,
    }


def represent_transaction(transaction: Transaction, raw: RawTransaction | None, spec: ChainSpec) -> dict[str, Any]:
    """The fields of any transaction. A reward or an Ed25519 transaction appears as type 0 without a signature."""
    if raw is None:
        return _unsigned_object(transaction, spec)
    result: dict[str, Any] = {
        "hash": f"0x{transaction.id}",
        "type": quantity(raw.envelope),
        "chainId": quantity(raw.chain_id),
        "nonce": quantity(raw.nonce),
        "from": raw.sender,
        "to": raw.to,
        "value": quantity(raw.value),
        "gas": quantity(raw.gas),
        "gasPrice": quantity(raw.gas_price),
        "input": data(raw.input),
        "v": quantity(raw.v),
        "r": quantity(raw.r),
        "s": quantity(raw.s),
    }
    if raw.envelope:
        result |= {"accessList": [], "yParity": quantity(raw.y_parity)}
    if raw.max_fee_per_gas is not None and raw.max_priority_fee_per_gas is not None:
        result |= {
            "maxFeePerGas": quantity(raw.max_fee_per_gas),
            "maxPriorityFeePerGas": quantity(raw.max_priority_fee_per_gas),
        }
    return result


def _unsigned_object(transaction: Transaction, spec: ChainSpec) -> dict[str, Any]:
    gas = gas_of(transaction, None)
    call = call_data_of(transaction)
    return {
        "hash": f"0x{transaction.id}",
        "type": "0x0",
        "nonce": quantity(transaction.nonce),
        "from": ZERO_ADDRESS if transaction.type == "reward" else transaction.sender,
        "to": spec.token.address if call else transaction.recipient,
        "value": quantity(0 if call else transaction.amount),
        "gas": quantity(gas),
        "gasPrice": quantity(transaction.fee // gas),
        "input": data(call),
        "v": "0x0",
        "r": "0x0",
        "s": "0x0",
    }


def represent_receipt(item: Executed, block: WalletBlock, spec: ChainSpec) -> dict[str, Any]:
    """The receipt of a transaction on the chain. One that would fail is never mined, so the status is always 1."""
    transaction, raw = item.transaction, item.raw
    shown = _unsigned_object(transaction, spec) if raw is None else {"from": raw.sender, "to": raw.to}
    return {
        "transactionHash": f"0x{transaction.id}",
        "transactionIndex": quantity(item.position),
        "blockHash": f"0x{block.stored.header.hash}",
        "blockNumber": quantity(block.stored.header.index),
        "from": shown["from"],
        "to": shown["to"],
        "contractAddress": None,
        "cumulativeGasUsed": quantity(item.cumulative_gas),
        "gasUsed": quantity(item.gas_used),
        "effectiveGasPrice": quantity(item.gas_price),
        "logs": [represent_log(event, block.stored) for event in item.events],
        "logsBloom": data(erc20.bloom(event.log for event in item.events)),
        "type": quantity(raw.envelope if raw else 0),
        "status": "0x1",
    }


def represent_log(event: TokenEvent, stored: StoredHeader, *, removed: bool = False) -> dict[str, Any]:
    """One event. `removed`: its block was detached from the chain."""
    # Answers have thousands of them: unpacking and `hex` take a tenth less time than attributes and `quantity`.
    (address, topics, words), transaction_id, position, log_index = event
    header = stored.header
    return {
        "address": address,
        "topics": [f"0x{topic.hex()}" for topic in topics],
        "data": f"0x{words.hex()}",
        "blockNumber": hex(header.index),
        "blockHash": f"0x{header.hash}",
        "blockTimestamp": hex(int(header.timestamp)),
        "transactionHash": f"0x{transaction_id}",
        "transactionIndex": hex(position),
        "logIndex": hex(log_index),
        "removed": removed,
    }
