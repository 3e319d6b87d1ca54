"""Raw transactions: refusals in geth's words; receipts and blocks, and what a reorganisation does to them."""

import random
from pathlib import Path
from typing import Any

import pytest

from services.node import Node
from shared import erc20, ethereum
from tests.integration.rpc.client import GWEI, OWNERS, TOKEN, ZERO, Rpc, call_of, refused, reorganise, rpc_node
from tests.support.keys import ALICE, MINER
from tests.support.nodes import MakeNode, grow, redis_of, transfer
from tests.support.specs import COIN
from tests.support.stored import digest

ANNE, BEN, CARA, DORA, EVE = OWNERS[:5]
POOR = OWNERS[7]
NOBODY = "0x000000000000000000000000000000000000dEaD"
FUNDS = "insufficient funds for gas * price + value"
UNKNOWN = "0x" + "11" * 32


def not_sent(rpc: Rpc, raw: bytes, code: int, message: str) -> Any:
    """The node refuses `raw`, and nothing of it is left."""
    before = rpc("eth_getBlockTransactionCountByNumber", "pending")
    failure = refused(lambda: rpc.send(raw), code, message)
    assert rpc("eth_getBlockTransactionCountByNumber", "pending") == before
    return failure


# --- Refusals --------------------------------------------------------------------------------------------------------


def test_refusals_have_the_words_that_clients_match(node: Node, rpc: Rpc) -> None:
    rpc.send(ANNE.raw(0, NOBODY, 1))
    grow(node)
    not_sent(rpc, ANNE.raw(0, NOBODY, 1), -32000, "nonce too low")
    not_sent(rpc, ANNE.raw(0, NOBODY, 2), -32000, "nonce too low")
    not_sent(rpc, ANNE.raw(2 + node.settings.nonces_ahead, NOBODY, 1), -32000, "nonce too high")
    not_sent(rpc, ANNE.raw(2**64 - 1, NOBODY, 1), -32000, "nonce has max value")
    not_sent(rpc, ANNE.raw(1, NOBODY, 1, chain_id=1), -32000, "invalid chain id for signer")
    not_sent(rpc, ANNE.raw(1, NOBODY, 1, chain_id=2**200), -32000, "invalid chain id for signer")
    not_sent(rpc, ANNE.raw(1, NOBODY, 1, gas=20_999), -32000, "intrinsic gas too low")
    not_sent(rpc, ANNE.token(1, erc20.encode_transfer(NOBODY, 1), gas=59_999), -32000, "intrinsic gas too low")
    not_sent(rpc, ANNE.raw(1, NOBODY, 101 * COIN), -32000, FUNDS)
    not_sent(rpc, POOR.raw(0, NOBODY, 0), -32000, FUNDS)
    not_sent(rpc, ANNE.raw(1, NOBODY, 1, call=b"\x12"), -32000, "Only the token takes call data...")
    not_sent(rpc, ANNE.raw(1, NOBODY, 1, gas_price=2, max_fee_per_gas=1), -32000, "max priority fee per gas higher...")
    not_sent(rpc, ANNE.raw(1, "0x", 1), -32000, "There are no contracts to create here...")
    not_sent(rpc, b"\x03" + ANNE.raw(1, NOBODY)[1:], -32000, "transaction type not supported")
    not_sent(rpc, ANNE.raw(1, NOBODY) + b"\0", -32000, "The raw transaction is not canonical RLP.")
    not_sent(rpc, b"", -32000, "The raw transaction is empty.")
    not_sent(rpc, bytes(10_000), -32000, "A raw transaction is at most 8192 bytes.")


def test_legacy_transactions_must_name_their_chain(rpc: Rpc) -> None:
    import rlp
    from eth_account import Account

    signed = Account.from_key(ANNE.key).sign_transaction(
        {"nonce": 0, "gasPrice": GWEI, "gas": 21000, "to": NOBODY, "value": 1}
    )
    assert int.from_bytes(rlp.decode(bytes(signed.raw_transaction))[6], "big") in (27, 28)
    not_sent(
        rpc, bytes(signed.raw_transaction), -32000,
        "only replay-protected (EIP-155) transactions allowed over RPC",
    )  # fmt: skip


def test_failing_calls_of_the_token_are_refused_with_their_reason(node: Node, rpc: Rpc) -> None:
    exceeds = "ERC20: transfer amount exceeds balance"
    reverts = [
        (ANNE.token(0, erc20.encode_transfer(NOBODY, 101 * COIN)), exceeds),
        (ANNE.token(0, erc20.encode_transfer(NOBODY, 100 * COIN)), exceeds),  # nothing would be left for gas
        (ANNE.token(0, erc20.encode_transfer_from(BEN.address, NOBODY, 1)), "ERC20: insufficient allowance"),
        (ANNE.token(0, b"\x12\x34\x56\x78"), "The token has no function with this selector"),
        (ANNE.token(0, bytes.fromhex(call_of("name")[2:]) + b"\0"), "Call data has the wrong length for its function"),
        (ANNE.token(0, erc20.encode_transfer(NOBODY, 1), value=1), "A call of the token must not send value besides"),
        (ANNE.token(0, erc20.encode_transfer(ZERO, 1)), "ERC20: transfer to the zero address"),
        (ANNE.token(0, erc20.encode_transfer(TOKEN, 1)), "ERC20: transfer to the token's own address"),
        (ANNE.token(0, erc20.encode_approve(TOKEN, 0)), "ERC20: approve to the token's own address"),
        (
            ANNE.token(0, erc20.encode_transfer_from(ANNE.address, ZERO, 0)),
            "ERC20: transfer to the zero address",
        ),
        (ANNE.raw(0, TOKEN, 5), "The token's address takes calls, not plain transfers"),
    ]
    for raw, reason in reverts:
        failure = not_sent(rpc, raw, 3, f"execution reverted: {reason}")
        assert failure.data == "0x" + erc20.encode_error(reason).hex()
    not_sent(rpc, ANNE.raw(0, ZERO, 5), -32000, "recipient must not be the zero address: nobody has its key.")
    not_sent(rpc, POOR.token(0, erc20.encode_transfer(NOBODY, 1)), -32000, FUNDS)
    not_sent(rpc, ANNE.token(0, bytes.fromhex(call_of("name")[2:])), -32000, "This function only reads...")


def test_transfer_from_more_than_the_owner_has(node: Node, rpc: Rpc) -> None:
    rpc.send(ANNE.token(0, erc20.encode_approve(BEN.address, 2**256 - 1)))
    grow(node)
    much = erc20.encode_transfer_from(ANNE.address, NOBODY, 100 * COIN)
    not_sent(rpc, BEN.token(0, much), 3, "execution reverted: ERC20: transfer amount exceeds balance")
    asked = {"from": BEN.address, "to": TOKEN, "data": "0x" + much.hex()}
    refused(lambda: rpc("eth_call", asked), 3, "execution reverted: ERC20: transfer amount exceeds balance")


@pytest.mark.parametrize(
    "value", [None, 5, "", "0x1", "12", "0xgg", ["0x"], {}, "0x" + "0" * 7, "0X00", "0x00\n"], ids=repr
)
def test_what_is_not_hex(rpc: Rpc, value: Any) -> None:
    refused(lambda: rpc("eth_sendRawTransaction", value), -32602, "transaction must be 0x and an even number...")
    for method in ("eth_getTransactionByHash", "eth_getTransactionReceipt", "eth_getBlockByHash"):
        refused(lambda: rpc(method, value), -32602, "hash must be 0x and 32 bytes of hex")  # noqa: B023 # called at once


def test_a_minimum_fee_is_asked_for_and_suggested(make_node: MakeNode, tmp_path: Path) -> None:
    _, rpc = rpc_node(make_node, tmp_path, MIN_FEE="0.001")
    price = rpc.number("eth_gasPrice")
    assert price * 21_000 >= 10**15 > (price - 1) * 21_000
    not_sent(rpc, ANNE.raw(0, NOBODY, gas_price=price - 1), -32000, "transaction underpriced")
    rpc.send(ANNE.raw(0, NOBODY, gas_price=price))


def test_resending_and_replacing(node: Node, rpc: Rpc) -> None:
    first = ANNE.raw(0, NOBODY, 1, gas_price=1000)
    assert rpc.send(first) == "0x" + ethereum.decode_raw(first).id.hex()
    not_sent(rpc, first, -32000, "already known")
    for price in (1000, 1001, 1099):
        not_sent(rpc, ANNE.raw(0, NOBODY, 2, gas_price=price), -32000, "replacement transaction underpriced")
    second = rpc.send(ANNE.raw(0, NOBODY, 2, gas_price=1100))
    assert rpc("eth_getTransactionByHash", "0x" + ethereum.decode_raw(first).id.hex()) is None
    assert rpc.number("eth_getTransactionCount", ANNE.address, "pending") == 1
    grow(node)
    assert rpc("eth_getTransactionReceipt", second)["status"] == "0x1"
    assert rpc.number("eth_getBalance", NOBODY) == 2
    not_sent(rpc, ANNE.raw(0, NOBODY, 2, gas_price=1100), -32000, "nonce too low")  # as geth says it, once it is mined


@pytest.mark.parametrize("method", ["eth_getTransactionByHash", "eth_getTransactionReceipt"])
def test_a_transaction_is_found_while_a_block_takes_it(
    node: Node, rpc: Rpc, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """A block is appended between the look at the chain and that at the mempool."""
    name = rpc.send(ANNE.raw(0, NOBODY, 1))
    entry = node.pool.entry

    def entry_after_a_block(identifier: str) -> Any:
        monkeypatch.setattr(node.pool, "entry", entry)
        grow(node)
        return entry(identifier)

    monkeypatch.setattr(node.pool, "entry", entry_after_a_block)
    assert rpc(method, name)["blockNumber"] == "0x2"


def test_pending_nonces_count_what_is_queued(node: Node, rpc: Rpc) -> None:
    rpc.send(ANNE.raw(1, NOBODY, 1))
    assert rpc.number("eth_getTransactionCount", ANNE.address, "pending") == 0
    rpc.send(ANNE.raw(0, NOBODY, 1))
    assert rpc.number("eth_getTransactionCount", ANNE.address, "pending") == 2
    assert rpc.number("eth_getTransactionCount", ANNE.address, "latest") == 0
    assert rpc.number("eth_getTransactionCount", ANNE.address) == 0
    grow(node)
    assert rpc.number("eth_getTransactionCount", ANNE.address, "latest") == 2


@pytest.mark.parametrize("envelope", [0, 1, 2])
def test_mutated_transactions_change_nothing(node: Node, rpc: Rpc, envelope: int) -> None:
    """Byte by byte: flipped, cut, doubled. No mutant may be admitted, since its sender would be another account."""
    grow(node)
    raw = ANNE.token(0, erc20.encode_transfer(BEN.address, 7), envelope=envelope)
    chance = random.Random(envelope)
    redis = redis_of(node)
    before = digest(redis, node.settings.node)
    mutants = [raw[:i] + bytes([raw[i] ^ chance.randrange(1, 256)]) + raw[i + 1 :] for i in range(len(raw))]
    mutants += [raw[:i] for i in range(len(raw))] + [raw[:i] + raw[i:][:1] + raw[i:] for i in range(0, len(raw), 3)]
    requests = [
        {"jsonrpc": "2.0", "id": i, "method": "eth_sendRawTransaction", "params": ["0x" + mutant.hex()]}
        for i, mutant in enumerate(mutants)
    ]
    for start in range(0, len(requests), 50):
        for answer in rpc.post(requests[start : start + 50]).ok():
            # The signature of a mutant belongs to another account, which has no coins.
            assert answer["error"]["code"] in (-32000, 3), answer
    assert digest(redis, node.settings.node) == before
    rpc.send(raw)


# --- Objects ---------------------------------------------------------------------------------------------------------

TRANSACTION = {"hash", "type", "nonce", "from", "to", "value", "gas", "gasPrice", "input", "v", "r", "s", "blockHash",
               "blockNumber", "blockTimestamp", "transactionIndex"}  # fmt: skip
RECEIPT = {"transactionHash", "transactionIndex", "blockHash", "blockNumber", "from", "to", "contractAddress",
    "gasUsed",
           "cumulativeGasUsed", "effectiveGasPrice", "logs", "logsBloom", "type", "status"}  # fmt: skip
BLOCK = {"number", "hash", "parentHash", "sha3Uncles", "logsBloom", "transactionsRoot", "stateRoot", "receiptsRoot",
    "miner",
         "difficulty", "extraData", "size", "gasLimit", "gasUsed", "timestamp", "nonce", "mixHash", "baseFeePerGas",
         "uncles",
         "transactions"}  # fmt: skip


HEADER = BLOCK - {"size", "uncles", "transactions"}


def test_all_objects_of_a_block_agree(node: Node, rpc: Rpc) -> None:
    call = erc20.encode_transfer(NOBODY, 3)
    sent = {
        rpc.send(ANNE.raw(0, NOBODY, 5, envelope=0, gas_price=3)): (0, 21_000, 3),
        rpc.send(BEN.raw(0, NOBODY, 6, envelope=1, gas_price=4)): (1, 21_000, 4),
        rpc.send(CARA.token(0, call, gas_price=5, max_fee_per_gas=9)): (2, 60_000, 5),
        rpc.send(DORA.token(0, erc20.encode_approve(NOBODY, 8))): (2, 50_000, GWEI),
        "0x" + rpc.client.submit(transfer(ALICE, 0, recipient=NOBODY)): (0, 21_000, 10**15 // 21_000),
        "0x" + rpc.client.submit(transfer(ALICE, 1, type="approve", recipient=NOBODY)): (0, 50_000, 10**15 // 50_000),
    }
    for name in sent:
        pending = rpc("eth_getTransactionByHash", name)
        assert {pending[key] for key in ("blockHash", "blockNumber", "blockTimestamp", "transactionIndex")} == {None}
        assert rpc("eth_getTransactionReceipt", name) is None
    waiting = rpc("eth_getBlockByNumber", "pending", True)
    assert BLOCK <= set(waiting) and (waiting["hash"], waiting["nonce"], waiting["number"]) == (None, None, "0x2")
    assert {item["hash"] for item in waiting["transactions"]} == set(sent)
    heading = rpc("eth_getHeaderByNumber", "pending")
    assert set(heading) == HEADER and heading.items() < waiting.items()
    mined = grow(node)

    block = rpc("eth_getBlockByNumber", "latest", True)
    number, block_hash = "0x2", "0x" + mined.hash
    assert BLOCK <= set(block) and (block["number"], block["hash"]) == (number, block_hash)
    assert block["parentHash"] == "0x" + node.rules.genesis().hash and block["miner"] == MINER
    for name, size in (
        ("hash", 32),
        ("logsBloom", 256),
        ("nonce", 8),
        ("sha3Uncles", 32),
        ("stateRoot", 32),
        ("mixHash", 32),
    ):
        assert len(block[name]) == 2 + 2 * size
    assert (block["baseFeePerGas"], block["uncles"], block["extraData"]) == ("0x0", [], "0x")
    assert int(block["size"], 16) == mined.size and int(block["timestamp"], 16) == mined.header.timestamp
    header = rpc("eth_getHeaderByNumber", number)
    assert set(header) == HEADER and header.items() < block.items()
    assert header == rpc("eth_getHeaderByHash", block_hash) == rpc("eth_getHeaderByNumber", "latest")
    names = [item["hash"] for item in block["transactions"]]
    assert rpc("eth_getBlockByHash", block_hash, False)["transactions"] == names
    assert rpc.number("eth_getBlockTransactionCountByNumber", number) == len(names) == 7
    assert rpc.number("eth_getBlockTransactionCountByHash", block_hash) == 7
    assert rpc("eth_getTransactionByBlockHashAndIndex", block_hash, "0x7") is None

    receipts = rpc("eth_getBlockReceipts", number)
    assert receipts == rpc("eth_getBlockReceipts", block_hash) == rpc("eth_getBlockReceipts", {"blockHash": block_hash})
    cumulative, index, bloom = 0, 0, 0
    for position, (item, receipt) in enumerate(zip(block["transactions"], receipts, strict=True)):
        place = {"blockHash": block_hash, "blockNumber": number, "transactionIndex": hex(position)}
        assert item.items() >= place.items() and receipt.items() >= place.items()
        assert item["blockTimestamp"] == block["timestamp"]
        assert TRANSACTION <= set(item) and RECEIPT == set(receipt)
        assert item == rpc("eth_getTransactionByHash", item["hash"])
        assert item == rpc("eth_getTransactionByBlockNumberAndIndex", number, hex(position))
        assert item == rpc("eth_getTransactionByBlockHashAndIndex", block_hash, hex(position))
        assert receipt == rpc("eth_getTransactionReceipt", item["hash"])
        assert (receipt["status"], receipt["contractAddress"]) == ("0x1", None)
        assert [receipt[key] for key in ("from", "to", "type")] == [item[key] for key in ("from", "to", "type")]
        cumulative += int(receipt["gasUsed"], 16)
        assert int(receipt["cumulativeGasUsed"], 16) == cumulative
        payers = [ANNE.address, BEN.address, CARA.address, DORA.address, ALICE.address]
        assert len(receipt["logs"]) == (1 if position else 1 + len(payers))  # the reward's has the fees too
        for log in receipt["logs"]:
            assert log.items() >= (place | {"blockTimestamp": block["timestamp"]}).items()
            assert (log["transactionHash"], log["removed"], int(log["logIndex"], 16)) == (item["hash"], False, index)
            assert log["address"].lower() == TOKEN
            index += 1
        bloom |= int(receipt["logsBloom"], 16)
        if item["hash"] in sent:
            kind, gas, price = sent[item["hash"]]
            shown = (item["type"], int(receipt["gasUsed"], 16), int(receipt["effectiveGasPrice"], 16), item["gasPrice"])
            assert shown == (hex(kind), gas, price, hex(price))
    # The pending block had no reward yet, whose event is in the filter of the block.
    reward_bloom = int(receipts[0]["logsBloom"], 16)
    assert int(waiting["logsBloom"], 16) | reward_bloom == bloom and len(waiting["logsBloom"]) == 2 + 2 * 256
    assert int(block["logsBloom"], 16) == bloom and int(block["gasUsed"], 16) == cumulative
    reward = block["transactions"][0]
    assert (reward["from"], reward["to"], reward["type"]) == (ZERO, MINER, "0x0")
    assert (reward["v"], reward["r"], reward["s"]) == ("0x0", "0x0", "0x0")
    typed = next(item for item in block["transactions"] if item["from"] == CARA.address)
    assert (typed["maxFeePerGas"], typed["maxPriorityFeePerGas"], typed["accessList"]) == ("0x9", "0x5", [])
    assert typed["yParity"] == typed["v"] and typed["chainId"] == "0x1092"


def test_what_is_not_there_is_null(rpc: Rpc) -> None:
    assert rpc("eth_getTransactionByHash", UNKNOWN) is None
    assert rpc("eth_getTransactionReceipt", UNKNOWN) is None
    assert rpc("eth_getBlockByHash", UNKNOWN, True) is None
    assert rpc("eth_getHeaderByHash", UNKNOWN) is None and rpc("eth_getHeaderByNumber", "0x99") is None
    assert rpc("eth_getBlockTransactionCountByHash", UNKNOWN) is None
    assert rpc("eth_getTransactionByBlockHashAndIndex", UNKNOWN, "0x0") is None
    assert rpc("eth_getBlockReceipts", UNKNOWN) is None


def test_genesis_is_a_block_too(node: Node, rpc: Rpc) -> None:
    block = rpc("eth_getBlockByNumber", "0x1", True)
    assert (block["number"], block["transactions"], block["gasUsed"], block["miner"]) == ("0x1", [], "0x0", ZERO)
    assert rpc("eth_getBlockReceipts", "0x1") == []


def test_fee_history(node: Node, rpc: Rpc) -> None:
    for price in (5, 7, 9):
        rpc.send(ANNE.raw((price - 5) // 2, NOBODY, 1, gas_price=price))
    rpc.send(BEN.token(0, erc20.encode_approve(NOBODY, 1), gas_price=11))
    grow(node)
    grow(node)
    for count in ("0xa", 10):
        history = rpc("eth_feeHistory", count, "latest", [0, 20.0, 50, 100])
        assert history["oldestBlock"] == "0x0" and history["baseFeePerGas"] == ["0x0"] * 5
        assert [len(row) for row in history["reward"]] == [4, 4, 4, 4]
        assert history["reward"][2] == ["0x5", "0x5", "0x7", "0xb"]
        spec, genesis, busy, quiet = history["gasUsedRatio"]
        assert genesis == 0 < spec == quiet < busy < 1
    assert rpc("eth_feeHistory", "0x3", "latest")["oldestBlock"] == "0x1"
    assert rpc("eth_feeHistory", "0x2", "earliest")["gasUsedRatio"] == [spec]
    one = rpc("eth_feeHistory", "0x1", "0x2", [])
    assert (one["oldestBlock"], one["reward"], len(one["baseFeePerGas"])) == ("0x2", [[]], 2)
    assert rpc("eth_feeHistory", "0x1", "pending")["oldestBlock"] == "0x3"
    bad: list[list[Any]] = [["x", "latest"], ["0x1", "0x9"], ["0x1"], [1.5, "latest"]]
    percentiles: list[Any] = [["a"], [101], [-1], [True], [50, 20], 5]
    for params in [*bad, *(["0x1", "latest", item] for item in percentiles)]:
        refused(lambda: rpc("eth_feeHistory", *params), -32602, "...")  # noqa: B023 # called at once


def test_a_detached_transaction_has_no_receipt_any_more(make_node: MakeNode, tmp_path: Path) -> None:
    node, rpc = rpc_node(make_node, tmp_path)
    rival, _ = rpc_node(make_node, tmp_path)
    grow(node)
    stays, goes = ANNE.raw(0, NOBODY, 1), BEN.raw(0, NOBODY, 2)
    names = [rpc.send(stays), rpc.send(goes)]
    lost = grow(node)
    old = [rpc("eth_getTransactionReceipt", name) for name in names]
    assert all(old)
    new = reorganise(node, rival, 2, [stays], [])
    assert rpc("eth_getBlockByHash", "0x" + lost.hash, False) is None
    receipt = rpc("eth_getTransactionReceipt", names[0])
    assert receipt["blockHash"] == "0x" + new[0].hash != old[0]["blockHash"]
    assert rpc("eth_getTransactionReceipt", names[1]) is None
    waiting = rpc("eth_getTransactionByHash", names[1])
    assert (waiting["blockHash"], waiting["from"]) == (None, BEN.address)
    assert rpc.number("eth_getTransactionCount", BEN.address, "latest") == 0
    assert rpc.number("eth_getTransactionCount", BEN.address, "pending") == 1
    assert rpc.number("eth_getBalance", NOBODY) == 1
    grow(node)
    assert rpc("eth_getTransactionReceipt", names[1])["blockNumber"] == "0x5"


def test_a_receipt_is_awaited_where_blocks_are_made_at_once(
    make_node: MakeNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, rpc = rpc_node(make_node, tmp_path, AUTOMINE="true")
    name = rpc.send(ANNE.raw(0, NOBODY, 1))
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            grow(node)

    monkeypatch.setattr(node.clock, "sleep", sleep)
    assert rpc("eth_getTransactionReceipt", name)["status"] == "0x1"
    assert len(looks) == 3 and sum(looks) < 0.1
    assert rpc("eth_getTransactionReceipt", UNKNOWN) is None  # an unknown transaction is not waited for
    assert len(looks) == 3
    later = rpc.send(ANNE.raw(2, NOBODY, 1))
    assert rpc("eth_getTransactionReceipt", later) is None
    assert sum(looks) < 0.5
